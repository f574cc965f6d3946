//! Files of tensors whose checksum fits what they hold, so that changes reach what lies behind the checksum.

use gaat_files::tensors::{CHECKSUM, checksum};
use safetensors::SafeTensors;
use serde_json::Value;

/// `bytes` with the checksum that they should carry; as they are where no file of tensors is to be seen in them.
pub(crate) fn signed(bytes: &[u8]) -> Vec<u8> {
    try_signed(bytes).unwrap_or_else(|| bytes.to_vec())
}

fn try_signed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let mut metadata = header.metadata().clone().unwrap_or_default();
    metadata.remove(CHECKSUM);
    let metadata = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let sum = checksum(&metadata, &file);
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (text, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut header: Value = serde_json::from_slice(text).ok()?;
    header["__metadata__"][CHECKSUM] = sum.to_string().into();
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    Some([&(text.len() as u64).to_le_bytes()[..], &text, data].concat())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_writer() {
        for seed in crate::tensors::safetensors_seeds() {
            let text = String::from_utf8_lossy(&seed).into_owned();
            let wrong = text.find("gaat-checksum").unwrap() + 17;
            let mut changed = seed.clone();
            changed[wrong] = if changed[wrong] == b'1' { b'2' } else { b'1' };
            let again = super::signed(&changed);
            let sum = |bytes: &[u8]| {
                let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
                header.metadata().clone().unwrap()[super::CHECKSUM].clone()
            };
            assert_ne!(sum(&changed), sum(&seed));
            assert_eq!(sum(&again), sum(&seed));
        }
    }
}
