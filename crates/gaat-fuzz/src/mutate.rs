//! Small changes to valid files, drawn from a seed: what comes near to a format finds more than noise does.

/// A generator of numbers (xorshift, Marsaglia 2003); nothing depends on its quality.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Numbers that depend on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; 0 for 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Numbers at which lengths, offsets and counts go wrong.
const NUMBERS: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];
/// What is odd within text, and opcodes of pickles that do much.
const WORDS: [&[u8]; 20] = [
    b"\"",
    b"=",
    b"[",
    b"]",
    b"{",
    b"}",
    b"nan",
    b"-1",
    b"1e308",
    b"9223372036854775807",
    b"\n",
    b"null",
    b"\\u0000",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"(",
    b"t",
    b"R",
    b"q\x00",
    b"h\x00",
];
/// The structure of most formats lies in the first and last bytes.
const EDGE: usize = 1500;

/// One of `seeds`, changed in one to a dozen places.
pub fn mutate(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(4) * rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        change(&mut bytes, seeds, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let edge = bytes.len().min(EDGE);
    let at = match rng.below(4) {
        0 => rng.below(bytes.len()),
        1 => bytes.len() - 1 - rng.below(edge),
        _ => rng.below(edge),
    };
    let until = |count: usize| (at + count).min(bytes.len());
    match rng.below(9) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..until(1 + rng.below(16)))),
        4 => {
            let number = NUMBERS[rng.below(NUMBERS.len())].to_le_bytes();
            overwrite(&mut bytes[at..], &number[..4 << rng.below(2)]);
        }
        5 => overwrite(&mut bytes[at..], &(NUMBERS[rng.below(NUMBERS.len())] as u32).to_be_bytes()),
        6 => {
            let start = rng.below(bytes.len());
            let part = bytes[start..(start + 1 + rng.below(64)).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, part));
        }
        7 => {
            let other = &seeds[rng.below(seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.below(other.len())..]);
        }
        _ => drop(bytes.splice(at..at, WORDS[rng.below(WORDS.len())].iter().copied())),
    }
}

fn overwrite(place: &mut [u8], number: &[u8]) {
    for (byte, new) in place.iter_mut().zip(number) {
        *byte = *new;
    }
}
