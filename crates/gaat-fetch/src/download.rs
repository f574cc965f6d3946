//! One file: asked for at each source in turn, gone on from where it broke off, and kept only if it is the right one.

use crate::part::{self, Part};
use crate::{Error, Observer, Patience, Progress, Result, client};
use gaat_data::{OfficialFile, digest_of_file};
use std::io::Read;
use std::path::Path;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

const CHUNK: usize = 128 << 10;
/// Pauses grow no further than a thousandfold.
const MOST_DOUBLINGS: u32 = 10;

/// Why an attempt at one source did not bring the file.
enum Setback {
    /// It may go better the next time.
    Passing(String),
    /// This source does not have the file.
    Lasting(String),
    /// No source can help.
    Fatal(Error),
}

impl<E: Into<Error>> From<E> for Setback {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

/// Brings `file` into `directory` from the first of the folders `bases` that has it; returns the address, or `None` where
/// the file was there already.
///
/// # Errors
/// When another file has its name, when no source has the right bytes, when the disk refuses, or when the observer breaks
/// off. What has arrived stays beside its place as `NAME.part`.
pub fn download(
    file: &OfficialFile,
    directory: &Path,
    bases: &[&str],
    patience: &Patience,
    observer: Observer<'_>,
) -> Result<Option<String>> {
    let place = directory.join(file.name);
    if place.exists() {
        let found = digest_of_file(&place)?;
        if found == file.sha256 {
            part::forget(directory, file.name);
            return Ok(None);
        }
        return Err(Error::Taken { path: place, found, expected: file.sha256 });
    }
    let mut part = Part::open(directory, file.name)?;
    let mut attempt = Attempt { file, agent: client::agent(patience.stall), part: &mut part, observer };
    match attempt.rounds(bases, patience)? {
        Ok(url) => {
            part.finish(&place)?;
            Ok(Some(url))
        }
        Err(setbacks) => {
            let bytes = part.give_up()?;
            Err(Error::Failed { file: file.name, setbacks, bytes, directory: directory.to_path_buf() })
        }
    }
}

/// What every attempt at a file shares.
struct Attempt<'a, 'b> {
    file: &'a OfficialFile,
    agent: Agent,
    part: &'a mut Part,
    observer: Observer<'b>,
}

impl Attempt<'_, '_> {
    /// Asks all sources in turn until one has brought the rest, or until no more is to be hoped for: the address of the
    /// one, or what went wrong at each.
    fn rounds(
        &mut self,
        bases: &[&str],
        patience: &Patience,
    ) -> Result<std::result::Result<String, Vec<String>>> {
        let mut urls: Vec<String> =
            bases.iter().map(|base| format!("{}/{}", base.trim_end_matches('/'), self.file.name)).collect();
        let mut setbacks: Vec<String> = Vec::new();
        let mut fruitless = 0;
        while !urls.is_empty() && fruitless < patience.rounds {
            let before = self.part.length();
            for url in urls.clone() {
                let reason = match self.at(&url) {
                    Ok(()) => return Ok(Ok(url)),
                    Err(Setback::Fatal(error)) => return Err(error),
                    Err(Setback::Passing(reason)) => format!("{url}: {reason}"),
                    Err(Setback::Lasting(reason)) => {
                        urls.retain(|other| *other != url);
                        format!("{url}: {reason}")
                    }
                };
                // The same again, in another round, is no news.
                if !setbacks.contains(&reason) {
                    self.tell(&Progress::Setback { reason: &reason })?;
                    setbacks.push(reason);
                }
            }
            fruitless = if self.part.length() > before { 0 } else { fruitless + 1 };
            if !urls.is_empty() && fruitless < patience.rounds {
                std::thread::sleep(patience.pause.saturating_mul(1 << fruitless.min(MOST_DOUBLINGS)));
            }
        }
        Ok(Err(setbacks))
    }

    /// One attempt at one source.
    fn at(&mut self, url: &str) -> std::result::Result<(), Setback> {
        if self.part.length() > self.file.bytes {
            self.part.cut(0)?;
        }
        let begun_at = self.part.length();
        let resumed = begun_at > 0;
        if begun_at < self.file.bytes {
            self.tell(&Progress::Asking { file: self.file, url })?;
            let (response, known) = self.ask(url, begun_at)?;
            self.receive(response, known)?;
        }
        let found = self.part.digest()?;
        if found == self.file.sha256 {
            return Ok(());
        }
        self.part.cut(0)?;
        let expected = self.file.sha256;
        Err(if resumed {
            Setback::Passing(format!(
                "the parts do not make the whole (SHA-256 {found}, expected {expected})"
            ))
        } else {
            Setback::Lasting(format!("sent another file (SHA-256 {found}, expected {expected})"))
        })
    }

    /// Asks for everything from `start` on; says how many bytes at the beginning of the answer are there already.
    fn ask(&self, url: &str, start: u64) -> std::result::Result<(Response<Body>, u64), Setback> {
        let mut asked_from = start;
        let mut response = self.request(url, start)?;
        // A source without this range may still have the whole; what has arrived is not given up for it.
        if start > 0 && (response.status() == StatusCode::RANGE_NOT_SATISFIABLE || !fits(&response, start)) {
            asked_from = 0;
            response = self.request(url, 0)?;
        }
        let begins_at = match response.status() {
            StatusCode::PARTIAL_CONTENT if fits(&response, asked_from) => asked_from,
            StatusCode::PARTIAL_CONTENT => {
                let range = header(&response, "content-range").unwrap_or_default();
                let reason = format!("sends the range `{range}` where the whole was asked for");
                return Err(Setback::Lasting(reason));
            }
            // The whole was asked for, or the range was ignored.
            StatusCode::OK => 0,
            status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                return Err(Setback::Passing(status.to_string()));
            }
            status if status.is_server_error() => return Err(Setback::Passing(status.to_string())),
            status => return Err(Setback::Lasting(status.to_string())),
        };
        let offered = header(&response, "content-length").and_then(|length| length.parse::<u64>().ok());
        let missing = self.file.bytes - begins_at;
        match offered {
            Some(offered) if offered != missing => {
                Err(Setback::Lasting(format!("offers {offered} bytes where {missing} are expected")))
            }
            _ => Ok((response, start - begins_at)),
        }
    }

    fn request(&self, url: &str, start: u64) -> std::result::Result<Response<Body>, Setback> {
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Setback::Lasting(error.to_string()),
            error => Setback::Passing(error.to_string()),
        })
    }

    /// Writes what is sent after its first `known` bytes to the end of the part.
    fn receive(&mut self, response: Response<Body>, mut known: u64) -> std::result::Result<(), Setback> {
        let mut reader = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        let begun_at = self.part.length();
        loop {
            let length = self.part.length();
            let expected = self.file.bytes;
            let broken = |why: String| {
                let sent = length - known;
                Setback::Passing(format!("broke off after {sent} of {expected} bytes{why}"))
            };
            let read = reader.read(&mut chunk).map_err(|error| broken(format!(": {error}")))?;
            if read == 0 {
                return if length == expected { Ok(()) } else { Err(broken(String::new())) };
            }
            let fresh = &chunk[read.min(usize::try_from(known).unwrap_or(usize::MAX))..read];
            known -= (read - fresh.len()) as u64;
            if length + fresh.len() as u64 > expected {
                self.part.cut(begun_at)?;
                return Err(Setback::Lasting(format!("sends more than the expected {expected} bytes")));
            }
            self.part.append(fresh)?;
            self.tell(&Progress::Received { file: self.file, bytes: self.part.length() })?;
        }
    }

    fn tell(&mut self, progress: &Progress<'_>) -> Result<()> {
        if (self.observer)(progress).is_break() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Whether a part of a file begins at `start`; what is no part fits anywhere.
fn fits(response: &Response<Body>, start: u64) -> bool {
    let range = header(response, "content-range").unwrap_or_default();
    response.status() != StatusCode::PARTIAL_CONTENT || range.starts_with(&format!("bytes {start}-"))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
