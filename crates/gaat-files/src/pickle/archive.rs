//! Uncompressed zip archives up to 4 GiB, as `torch.save` writes them: names and contents, nothing else.
//!
//! Format: PKWARE APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16. Sizes are taken from the central directory, since
//! `torch.save` leaves those beside the data empty.

use super::brief::brief;
use std::collections::HashMap;

const END: [u8; 4] = *b"PK\x05\x06";
const END_LENGTH: usize = 22;
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LENGTH: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;

/// The members of an archive, by name.
pub(super) struct Archive<'a> {
    members: HashMap<String, &'a [u8]>,
}

impl<'a> Archive<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let end = end_record(bytes).ok_or("no end of a zip archive; the file is cut short")?;
        let count = number(bytes, end + 10, 2)?;
        let mut place = number(bytes, end + 16, 4)?;
        let mut members = HashMap::new();
        let mut room = bytes.len();
        for _ in 0..count {
            if slice(bytes, place, 4)? != ENTRY {
                return Err(format!("no member of the zip archive at byte {place}"));
            }
            let name_length = number(bytes, place + 28, 2)?;
            let name = String::from_utf8_lossy(slice(bytes, place + ENTRY_LENGTH, name_length)?).into_owned();
            let method = number(bytes, place + 10, 2)?;
            if method != 0 {
                return Err(format!("{}, compressed; torch.save does not compress", brief(&name)));
            }
            let (packed, size) = (number(bytes, place + 20, 4)?, number(bytes, place + 24, 4)?);
            let local = number(bytes, place + 42, 4)?;
            if size == u32::MAX as usize || local == u32::MAX as usize || packed != size {
                return Err(format!("{}, in an archive of 4 GiB or more, which is not read", brief(&name)));
            }
            // A small file could name the same bytes often enough to keep the checksums busy for hours.
            room = room.checked_sub(size).ok_or("members of a zip archive that overlap")?;
            let content = content(bytes, local, size)?;
            check(&name, content, number(bytes, place + 16, 4)? as u32)?;
            if let Some((name, _)) = members.get_key_value(&name) {
                return Err(format!("the member {} of a zip archive twice", brief(name)));
            }
            members.insert(name, content);
            place +=
                ENTRY_LENGTH + name_length + number(bytes, place + 30, 2)? + number(bytes, place + 32, 2)?;
        }
        Ok(Self { members })
    }

    /// Name and content of the only member whose name ends with `suffix`.
    pub(super) fn ending_with(&self, suffix: &str) -> Option<(&str, &'a [u8])> {
        let mut found = self.members.iter().filter(|(name, _)| name.ends_with(suffix));
        let (name, content) = found.next()?;
        found.next().is_none().then_some((name.as_str(), *content))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.members.get(name).copied()
    }
}

/// Where the record at the end lies; a comment may follow it.
fn end_record(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    (last.saturating_sub(usize::from(u16::MAX))..=last).rev().find(|place| bytes[*place..].starts_with(&END))
}

fn content(bytes: &[u8], local: usize, size: usize) -> Result<&[u8], String> {
    if slice(bytes, local, 4)? != LOCAL {
        return Err(format!("no member of the zip archive at byte {local}"));
    }
    let before = LOCAL_LENGTH + number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
    slice(bytes, local + before, size)
}

/// Holds the content of a member against its CRC-32. A stored 0 is no checksum: `torch.save` leaves it where
/// `torch.serialization.set_crc32_options` says so.
fn check(name: &str, content: &[u8], stored: u32) -> Result<(), String> {
    let found = crc32fast::hash(content);
    if stored == 0 || found == stored {
        return Ok(());
    }
    let name = brief(name);
    Err(format!(
        "{name} with the CRC-32 {found:08x} and not {stored:08x}: the file is damaged; copy or save it again"
    ))
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], String> {
    let end = start.checked_add(length);
    end.and_then(|end| bytes.get(start..end)).ok_or_else(|| "a zip archive that is cut short".to_owned())
}

fn number(bytes: &[u8], place: usize, width: usize) -> Result<usize, String> {
    Ok(slice(bytes, place, width)?.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
}
