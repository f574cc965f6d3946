//! `gaat data fetch`.

use super::download::DownloadProgress;
use crate::arguments::FetchArguments;
use crate::interrupt;
use crate::printer::Printer;
use crate::process::Outcome;
use anyhow::{Context, Result};
use gaat_data::Directories;
use gaat_fetch::{Error, Fetched, Patience};
use gaat_report::format::{count, typed};
use gaat_spec::visible_path;
use serde::Serialize;
use std::path::PathBuf;

/// What is there now, as JSON.
#[derive(Serialize)]
struct Shown {
    dataset: String,
    location: PathBuf,
    downloaded: Vec<ShownFile>,
}

#[derive(Serialize)]
struct ShownFile {
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
    url: String,
}

pub(crate) fn run(arguments: &FetchArguments, printer: &Printer) -> Result<Outcome> {
    interrupt::advise("interrupted; the same command continues from here");
    let FetchArguments { dataset, data_dir, mirror, .. } = arguments;
    let root = match data_dir {
        Some(root) => root.clone(),
        None => Directories::from_environment().data_roots.into_iter().next().context(
            "there is no home directory to keep data in: name a place with --data-dir or GAAT_DATA",
        )?,
    };
    let mut progress = DownloadProgress::new(printer);
    let mut observer = |now: &gaat_fetch::Progress<'_>| progress.update(now);
    let fetched = gaat_fetch::fetch(*dataset, &root, mirror.as_deref(), &Patience::default(), &mut observer);
    drop(progress);
    let fetched = match fetched {
        Err(error @ Error::Interrupted) => {
            printer.notice(&error.to_string());
            return Ok(Outcome::Interrupted);
        }
        fetched => fetched?,
    };
    printer.result(&Shown::of(dataset.to_string(), fetched), |shown| text(shown, arguments))?;
    Ok(Outcome::Done)
}

impl Shown {
    fn of(dataset: String, fetched: Fetched) -> Self {
        let Fetched { location, downloaded } = fetched;
        let files = downloaded.into_iter().map(|(file, url)| {
            let gaat_data::OfficialFile { name, bytes, sha256 } = file;
            ShownFile { name, bytes, sha256, url }
        });
        Self { dataset, location, downloaded: files.collect() }
    }
}

fn text(shown: &Shown, arguments: &FetchArguments) -> String {
    let Shown { dataset, location, downloaded } = shown;
    let location = visible_path(location);
    let mut lines = vec![if downloaded.is_empty() {
        format!("{dataset} is there already: {location}")
    } else {
        format!("{dataset} is in {location}, verified")
    }];
    for ShownFile { name, bytes, url, .. } in downloaded {
        lines.push(format!("{name} ({} bytes) from {url}", count(*bytes)));
    }
    let named =
        arguments.data_dir.as_ref().map(|root| format!(" --data-dir {}", typed(root))).unwrap_or_default();
    lines.push(format!("next: gaat train --dataset {dataset}{named}"));
    lines.join("\n")
}
