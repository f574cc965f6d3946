//! One file: asked for at each source in turn, gone on from where it broke off, and kept only if it is the right one.

use crate::error::{Error, Result};
use crate::exchange::{Exchange, Trouble};
use crate::part::{self, Part};
use crate::{Observer, Patience, Progress, client};
use gaat_data::OfficialFile;
use gaat_files::digest_of_file;
use std::path::Path;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{Response, StatusCode};

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
    let agent = client::agent(patience.stall);
    let mut attempt =
        Attempt { file, agent, patience, waited: Duration::ZERO, sources: 1, part: &mut part, observer };
    let outcome = attempt.rounds(bases)?;
    let silent = attempt.is_out_of_patience().then_some(patience.silence);
    match outcome {
        Ok(url) => {
            part.finish(&place)?;
            Ok(Some(url))
        }
        Err(setbacks) => {
            let (file, directory) = (file.name, directory.to_path_buf());
            Err(Error::Failed { file, setbacks, silent, bytes: part.give_up()?, directory })
        }
    }
}

/// What every attempt at a file shares.
struct Attempt<'a, 'b> {
    file: &'a OfficialFile,
    agent: Agent,
    patience: &'a Patience,
    /// In vain since the last new byte.
    waited: Duration,
    /// Those still to be asked in this round, the present one included.
    sources: u32,
    part: &'a mut Part,
    observer: Observer<'b>,
}

impl Attempt<'_, '_> {
    /// Asks all sources in turn until one has brought the rest, or until no more is to be hoped for: the address of the
    /// one, or what went wrong at each.
    fn rounds(&mut self, bases: &[&str]) -> Result<std::result::Result<String, Vec<String>>> {
        let patience = self.patience;
        let mut urls: Vec<String> =
            bases.iter().map(|base| format!("{}/{}", base.trim_end_matches('/'), self.file.name)).collect();
        let mut setbacks: Vec<String> = Vec::new();
        let mut fruitless = 0;
        while !urls.is_empty() && fruitless < patience.rounds && !self.is_out_of_patience() {
            let before = self.part.length();
            let asked = urls.clone();
            for (url, sources) in asked.iter().zip((1..=asked.len() as u32).rev()) {
                if self.is_out_of_patience() {
                    break;
                }
                self.sources = sources;
                let reason = match self.at(url) {
                    Ok(()) => return Ok(Ok(url.clone())),
                    Err(Setback::Fatal(error)) => return Err(error),
                    Err(Setback::Passing(reason)) => format!("{url}: {reason}"),
                    Err(Setback::Lasting(reason)) => {
                        urls.retain(|other| other != url);
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
                let pause =
                    patience.pause.saturating_mul(1 << fruitless.min(MOST_DOUBLINGS)).min(self.left());
                std::thread::sleep(pause);
                self.waited += pause;
            }
        }
        Ok(Err(setbacks))
    }

    /// How much longer the next new byte is waited for, at all sources together.
    fn left(&self) -> Duration {
        self.patience.silence.saturating_sub(self.waited)
    }

    /// How long the present source may be silent, so that all others are asked too.
    fn share(&self) -> Duration {
        self.left() / self.sources
    }

    fn is_out_of_patience(&self) -> bool {
        self.left().is_zero()
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
            let (exchange, known) = self.ask(url, begun_at)?;
            self.receive(exchange, known)?;
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
    fn ask(&mut self, url: &str, start: u64) -> std::result::Result<(Exchange, u64), Setback> {
        let mut asked_from = start;
        let (mut exchange, mut response) = self.request(url, start)?;
        // A source without this range may still have the whole; what has arrived is not given up for it.
        if start > 0 && (response.status() == StatusCode::RANGE_NOT_SATISFIABLE || !fits(&response, start)) {
            asked_from = 0;
            (exchange, response) = self.request(url, 0)?;
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
            _ => Ok((exchange, start - begins_at)),
        }
    }

    fn request(&mut self, url: &str, start: u64) -> std::result::Result<(Exchange, Response<()>), Setback> {
        let mut exchange = Exchange::begin(&self.agent, url, start);
        let begun = Instant::now();
        let head = exchange.head(self.share());
        self.waited += begun.elapsed();
        match head {
            Ok(head) => Ok((exchange, head)),
            Err(Trouble::Client(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_)))) => {
                Err(Setback::Lasting(error.to_string()))
            }
            Err(Trouble::Client(error)) => Err(Setback::Passing(error.to_string())),
            Err(Trouble::Silence) => Err(Setback::Passing("did not answer".to_owned())),
        }
    }

    /// Writes what is sent after its first `known` bytes to the end of the part.
    fn receive(&mut self, mut exchange: Exchange, mut known: u64) -> std::result::Result<(), Setback> {
        let begun_at = self.part.length();
        loop {
            let length = self.part.length();
            let expected = self.file.bytes;
            let broken = |why: String| {
                let sent = length - known;
                Setback::Passing(format!("broke off after {sent} of {expected} bytes{why}"))
            };
            let begun = Instant::now();
            let chunk = match exchange.bytes(self.share()) {
                Ok(Some(chunk)) => chunk,
                Ok(None) if length == expected => return Ok(()),
                nothing => {
                    self.waited += begun.elapsed();
                    return Err(broken(match nothing {
                        Err(Trouble::Client(error)) => format!(": {error}"),
                        Err(Trouble::Silence) => ": nothing more came".to_owned(),
                        Ok(_) => String::new(),
                    }));
                }
            };
            let fresh = &chunk[chunk.len().min(usize::try_from(known).unwrap_or(usize::MAX))..];
            known -= (chunk.len() - fresh.len()) as u64;
            if length + fresh.len() as u64 > expected {
                self.part.cut(begun_at)?;
                return Err(Setback::Lasting(format!("sends more than the expected {expected} bytes")));
            }
            if !fresh.is_empty() {
                self.waited = Duration::ZERO;
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
fn fits(response: &Response<()>, start: u64) -> bool {
    let range = header(response, "content-range").unwrap_or_default();
    response.status() != StatusCode::PARTIAL_CONTENT || range.starts_with(&format!("bytes {start}-"))
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
