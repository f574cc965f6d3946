//! Which of the networks in a file is taken.

use super::fit::Fit;
use super::source::Offers;

/// Keys and prefixes under which training scripts put the network that they trained, the usual ones first.
const USUAL: [&str; 14] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "model_state",
    "net_state_dict",
    "params",
    "weights",
    "classifier",
    "backbone",
    "student",
    "target_model",
    "basic_net",
];

/// The one that is taken, and the keys of others that fit as well.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) taken: usize,
    pub(super) others: Vec<String>,
}

/// The keys that lead to a network, joined by dots: those of dictionaries, then what stands before its names. `.` is the
/// outermost dictionary.
pub(super) fn key(fit: &Fit, offers: &Offers) -> String {
    let parts = parts(fit, offers);
    if parts.is_empty() { ".".to_owned() } else { parts.join(".") }
}

fn parts<'a>(fit: &'a Fit, offers: &'a Offers) -> Vec<&'a str> {
    let path = offers.offers[fit.offer].path.iter().map(String::as_str);
    path.chain(fit.prefix.split('.').filter(|part| !part.is_empty())).collect()
}

/// The places in `fits` that `wanted` may mean: with exactly that key, else with it as whole parts of the key.
pub(super) fn named(fits: &[Fit], offers: &Offers, wanted: &str) -> Vec<usize> {
    let all = || fits.iter().enumerate();
    let exact: Vec<usize> =
        all().filter(|(_, fit)| key(fit, offers) == wanted).map(|(place, _)| place).collect();
    if !exact.is_empty() {
        return exact;
    }
    let inside = |fit: &Fit| format!(".{}.", key(fit, offers)).contains(&format!(".{wanted}."));
    all().filter(|(_, fit)| inside(fit)).map(|(place, _)| place).collect()
}

/// One of `places`, or the keys among which somebody must choose.
pub(super) fn choose(fits: &[Fit], places: &[usize], offers: &Offers) -> Result<Choice, Vec<String>> {
    let key_of = |place: &usize| key(&fits[*place], offers);
    let mut ranked: Vec<(Vec<usize>, usize)> =
        places.iter().filter_map(|place| Some((rank(&fits[*place], offers)?, *place))).collect();
    ranked.sort();
    let are_same = || {
        let members = |place: usize| fits[place].members.iter().map(|(index, _)| *index).collect::<Vec<_>>();
        let first = members(places[0]);
        places.iter().all(|place| {
            let other = members(*place);
            offers.are_same((fits[places[0]].offer, &first), (fits[*place].offer, &other))
        })
    };
    let taken = match (places, ranked.first()) {
        ([only], _) => *only,
        (_, Some((_, first))) => *first,
        ([first, ..], None) if are_same() => *first,
        _ => return Err(places.iter().map(key_of).collect()),
    };
    Ok(Choice { taken, others: places.iter().filter(|place| **place != taken).map(key_of).collect() })
}

/// How usual a key is, the most usual first; `None` where a part of it is not known.
fn rank(fit: &Fit, offers: &Offers) -> Option<Vec<usize>> {
    parts(fit, offers).iter().map(|part| usual_rank(part)).collect()
}

/// The place of `part` among the usual keys.
pub(super) fn usual_rank(part: &str) -> Option<usize> {
    USUAL.iter().position(|usual| *usual == part)
}
