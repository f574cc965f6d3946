//! An evaluation that can continue: its ledger in a file, with what it belongs to.

use super::EvaluateOptions;
use super::ledger::Ledger;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::nn::Classifier;
use gaat_spec::{Selection, Shard};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::{Device, Kind};

const SCHEMA: &str = "gaat-evaluation-state-1";

#[derive(Serialize, Deserialize)]
struct Document {
    schema: String,
    /// What is judged, and how.
    judged: String,
    /// Which part of it, where it is not the whole.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    shard: Shard,
    ledger: Ledger,
}

fn whole() -> Shard {
    Shard::WHOLE
}

fn is_whole(shard: &Shard) -> bool {
    *shard == Shard::WHOLE
}

/// What tells the evaluation of `images` from others.
pub(super) fn judged(classifier: &dyn Classifier, images: &str, options: &EvaluateOptions) -> Result<String> {
    // What the probes look at does not go into the ledger, nor what is known of the training.
    let EvaluateOptions { threat, attacks, curve, batch_size, limit, selection, seed, .. } = options;
    let attacks = serde_json::to_string(attacks).map_err(std::io::Error::from)?;
    let curve = serde_json::to_string(curve).map_err(std::io::Error::from)?;
    let limit = match (limit, selection) {
        (None, _) => "all images".to_owned(),
        (Some(limit), Selection::Seeded) => format!("limit {limit}"),
        (Some(limit), Selection::First) => format!("the first {limit} images"),
    };
    Ok(format!(
        "{} {} in {} with weights {:016x}, images {}, {threat}, attacks {attacks}, curve {curve}, batches of \
         {batch_size}, {limit}, seed {seed}",
        classifier.name(),
        classifier.variant(),
        classifier.compute_precision(),
        fingerprint(classifier)?,
        images
    ))
}

/// Where the ledger is kept.
pub(super) struct Saved {
    path: PathBuf,
    judged: String,
    shard: Shard,
}

impl Saved {
    /// Of the part `shard`; `images` tells these from others.
    pub(super) fn new(
        path: &Path,
        classifier: &dyn Classifier,
        images: &str,
        options: &EvaluateOptions,
        shard: Shard,
    ) -> Result<Self> {
        Ok(Self { path: path.to_owned(), judged: judged(classifier, images, options)?, shard })
    }

    /// The ledger so far; an empty one where there is no file.
    pub(super) fn read(&self) -> Result<Ledger> {
        match read(&self.path, &self.judged)? {
            None => Ok(Ledger::default()),
            Some((shard, ledger)) if shard == self.shard => Ok(ledger),
            Some((shard, _)) => Err(Error::OtherEvaluation {
                path: self.path.clone(),
                there: format!("part {shard}"),
                here: format!("part {}", self.shard),
            }),
        }
    }

    pub(super) fn write(&self, ledger: &Ledger) -> Result<()> {
        let (schema, judged) = (SCHEMA.to_owned(), self.judged.clone());
        let document = Document { schema, judged, shard: self.shard, ledger: ledger.clone() };
        let text = serde_json::to_string(&document).map_err(std::io::Error::from)?;
        write_atomically(&self.path, text.as_bytes())
    }
}

/// Which part of the evaluation that is `judged` lies in the file at `path`, and what was found of it; `None` where there is no file.
pub(super) fn read(path: &Path, judged: &str) -> Result<Option<(Shard, Ledger)>> {
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let text = match gaat_files::read_text(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let document: Document = serde_json::from_str(&text)
        .map_err(|error| failed(format!("is no state of an evaluation ({error})")))?;
    if document.schema != SCHEMA {
        return Err(failed(format!(
            "has the schema `{}`, and this version reads `{SCHEMA}`; remove the file or name another",
            gaat_spec::visible(&document.schema)
        )));
    }
    if document.judged != judged {
        return Err(Error::OtherEvaluation {
            path: path.to_owned(),
            there: document.judged,
            here: judged.to_owned(),
        });
    }
    Ok(Some((document.shard, document.ledger)))
}

/// 64-bit FNV-1a over the numbers of all parameters and buffers.
fn fingerprint(classifier: &dyn Classifier) -> Result<u64> {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for (_, tensor) in classifier.store().state()? {
        let flat = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_flatten(0, -1)?;
        for value in Vec::<f64>::try_from(flat)? {
            hash = (hash ^ value.to_bits()).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    Ok(hash)
}
