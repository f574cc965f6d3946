//! One file: asked for at each source in turn, gone on from where it broke off, and kept only if it is the right one.

use crate::part::Part;
use crate::{Error, Observer, Patience, Progress, Result, client};
use gaat_data::{OfficialFile, digest_of_file};
use std::io::Read;
use std::path::Path;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

const CHUNK: usize = 128 << 10;

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
                std::thread::sleep(patience.pause * 2_u32.pow(fruitless));
            }
        }
        Ok(Err(setbacks))
    }

    /// One attempt at one source.
    fn at(&mut self, url: &str) -> std::result::Result<(), Setback> {
        if self.part.length() > self.file.bytes {
            self.part.restart()?;
        }
        let begun_at = self.part.length();
        let resumed = begun_at > 0;
        if begun_at < self.file.bytes {
            self.tell(&Progress::Asking { file: self.file, url })?;
            let response = self.ask(url, begun_at)?;
            self.receive(response)?;
        }
        let found = self.part.digest()?;
        if found == self.file.sha256 {
            return Ok(());
        }
        self.part.restart()?;
        let expected = self.file.sha256;
        Err(if resumed {
            Setback::Passing(format!(
                "the parts do not make the whole (SHA-256 {found}, expected {expected})"
            ))
        } else {
            Setback::Lasting(format!("sent another file (SHA-256 {found}, expected {expected})"))
        })
    }

    /// Asks for everything from `start` on, and makes the part fit what is going to be sent.
    fn ask(&mut self, url: &str, start: u64) -> std::result::Result<Response<Body>, Setback> {
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Setback::Lasting(error.to_string()),
            error => Setback::Passing(error.to_string()),
        })?;
        let status = response.status();
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let range = header(&response, "content-range").unwrap_or_default();
                if !range.starts_with(&format!("bytes {start}-")) {
                    self.part.restart()?;
                    let reason =
                        format!("sends the range `{range}` where the one from byte {start} was asked for");
                    return Err(Setback::Passing(reason));
                }
            }
            // The range was ignored.
            StatusCode::OK => self.part.restart()?,
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.part.restart()?;
                return Err(Setback::Passing(format!("has no byte {start} ({status})")));
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Err(Setback::Passing(status.to_string()));
            }
            status if status.is_server_error() => return Err(Setback::Passing(status.to_string())),
            status => return Err(Setback::Lasting(status.to_string())),
        }
        let offered = header(&response, "content-length").and_then(|length| length.parse::<u64>().ok());
        let missing = self.file.bytes - self.part.length();
        match offered {
            Some(offered) if offered != missing => {
                Err(Setback::Lasting(format!("offers {offered} bytes where {missing} are expected")))
            }
            _ => Ok(response),
        }
    }

    /// Writes what is sent to the end of the part.
    fn receive(&mut self, response: Response<Body>) -> std::result::Result<(), Setback> {
        let mut reader = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = self.part.length();
            let expected = self.file.bytes;
            let broken =
                |why: String| Setback::Passing(format!("broke off after {length} of {expected} bytes{why}"));
            let read = reader.read(&mut chunk).map_err(|error| broken(format!(": {error}")))?;
            if read == 0 {
                return if length == expected { Ok(()) } else { Err(broken(String::new())) };
            }
            if length + read as u64 > expected {
                self.part.restart()?;
                return Err(Setback::Lasting(format!("sends more than the expected {expected} bytes")));
            }
            self.part.append(&chunk[..read])?;
            self.tell(&Progress::Received { file: self.file, bytes: self.part.length() })?;
        }
    }

    fn tell(&mut self, progress: &Progress<'_>) -> Result<()> {
        if (self.observer)(progress).is_break() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
