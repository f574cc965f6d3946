//! The zip archive round a program: members by name, each held against its checksum when it is read.
//!
//! `torch.export.save` compresses nothing, so that no member is longer than the file: what is compressed is refused, and no length
//! that the file states is believed before the bytes are there.

use crate::error::{Error, Result};
use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use zip::{CompressionMethod, ZipArchive};

/// Bytes of a `.pt2`, with where its members lie.
#[derive(Debug)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    members: HashMap<String, Member>,
    /// In the order of the archive.
    names: Vec<String>,
}

#[derive(Debug, Clone)]
struct Member {
    place: Range<usize>,
    checksum: u32,
}

impl Archive {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self> {
        let fault = |reason: &str| Err(Error::Archive(reason.to_owned()));
        if !bytes.starts_with(b"PK") {
            return fault(
                "is no zip archive, so not what torch.export.save writes; save it with torch.export.save(program, FILE)",
            );
        }
        let damaged = |error: zip::result::ZipError| {
            Error::Archive(format!(
                "is a damaged zip archive, or one that is cut short ({error}); copy or save it again"
            ))
        };
        let mut zip = ZipArchive::new(Cursor::new(&bytes)).map_err(damaged)?;
        let (mut members, mut names) = (HashMap::new(), Vec::new());
        // Members that overlap could keep the checksums busy for hours.
        let mut room = bytes.len() as u64;
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(damaged)?;
            let path = file.name().to_owned();
            if file.is_dir() {
                continue;
            }
            let name = path.split_once('/').map(|(_, name)| name.to_owned());
            let Some(name) = name else {
                return fault("has members outside one folder; save it again with torch.export.save");
            };
            if file.compression() != CompressionMethod::Stored || file.encrypted() {
                return fault("holds compressed or encrypted members; keep it as torch.export.save wrote it");
            }
            let size = file.compressed_size();
            let Some(rest) = room.checked_sub(size) else {
                return fault("has members that overlap, as no writer makes them");
            };
            room = rest;
            let start = file.data_start();
            let place = usize::try_from(start)
                .ok()
                .zip(start.checked_add(size).and_then(|end| usize::try_from(end).ok()));
            let place = place.filter(|(_, end)| file.size() == size && *end <= bytes.len());
            let Some((start, end)) = place else {
                return fault("has a member that reaches beyond its end; copy or save it again");
            };
            names.push(name.clone());
            if members.insert(name, Member { place: start..end, checksum: file.crc32() }).is_some() {
                return fault("has two members of one name");
            }
        }
        drop(zip);
        Ok(Self { bytes, members, names })
    }

    /// Names in the order of the archive, without the folder round all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Where the content of `name` lies in the file, once its checksum was found to be right.
    pub(crate) fn place(&self, name: &str) -> Result<Range<usize>> {
        let fault = |reason: String| Err(Error::Member { member: name.to_owned(), reason });
        let Some(member) = self.members.get(name) else {
            return fault("is missing; save the file again".to_owned());
        };
        let found = crc32fast::hash(&self.bytes[member.place.clone()]);
        // PyTorch writes 0 where it was told to leave checksums out.
        if member.checksum != 0 && member.checksum != found {
            return fault(format!(
                "has the CRC-32 {found:08x} and not {:08x}: the file is damaged; copy or save it again",
                member.checksum
            ));
        }
        Ok(member.place.clone())
    }

    /// The content of `name`.
    pub(crate) fn get(&self, name: &str) -> Result<&[u8]> {
        Ok(&self.bytes[self.place(name)?])
    }

    /// What lies at a [`place`](Self::place).
    pub(crate) fn at(&self, place: &Range<usize>) -> &[u8] {
        &self.bytes[place.clone()]
    }
}
