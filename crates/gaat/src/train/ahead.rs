//! Reading ahead: while a batch is trained on, a thread of its own reads the next ones, and decodes them where they are not decoded
//! yet. The thread sees bytes alone, no tensor.

use crate::error::{Error, Result};
use gaat_data::ImageSource;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Batches that are read before they are needed.
pub(super) const DEPTH: usize = 2;

/// The pixels of a batch, or why there are none.
type Pixels = gaat_data::Result<Vec<u8>>;

/// Reads the batches of one source, in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    wanted: Sender<(usize, Vec<usize>)>,
    read: Receiver<(usize, Pixels)>,
    /// Numbers of the batches that are on their way.
    coming: VecDeque<usize>,
    /// The batch that was handed out last: steps that replay it ask for it again.
    last: Option<(usize, Vec<u8>)>,
}

impl Ahead {
    /// Starts the thread, which ends with this.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn of(source: Arc<dyn ImageSource>) -> Result<Self> {
        let (wanted, requests) = channel::<(usize, Vec<usize>)>();
        let (answers, read) = channel();
        let work = move || {
            for (number, places) in requests {
                let mut pixels = vec![0; places.len() * source.shape().bytes()];
                let found = source.read(&places, &mut pixels).map(|()| pixels);
                if answers.send((number, found)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("gaat-read-ahead".to_owned()).spawn(work)?;
        Ok(Self { wanted, read, coming: VecDeque::new(), last: None })
    }

    /// The pixels of batch `number`; `places` says which images a batch has, `None` beyond the last one. The next
    /// [`DEPTH`] batches are asked for at once.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(super) fn batch(
        &mut self,
        number: usize,
        mut places: impl FnMut(usize) -> Option<Vec<usize>>,
    ) -> Result<&[u8]> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            // Batches come in order; after a jump those on their way are let pass.
            let next = self.coming.back().map_or(number, |last| last + 1);
            let first = if self.coming.contains(&number) { next } else { number };
            for ahead in first..=number + DEPTH {
                if let Some(places) = places(ahead) {
                    self.wanted.send((ahead, places)).map_err(|_| lost())?;
                    self.coming.push_back(ahead);
                }
            }
            self.last = Some((number, self.receive(number)?));
        }
        match &self.last {
            Some((_, pixels)) => Ok(pixels),
            None => Err(lost()),
        }
    }

    fn receive(&mut self, number: usize) -> Result<Vec<u8>> {
        loop {
            let (found, pixels) = self.read.recv().map_err(|_| lost())?;
            self.coming.pop_front();
            if found == number {
                return Ok(pixels?);
            }
        }
    }
}

fn lost() -> Error {
    Error::Usage("the thread that reads the images has ended; the error output says why".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_data::{ImageSet, ImageShape};

    #[test]
    fn every_batch_is_that_of_its_number_in_order_again_and_after_a_jump() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let set = ImageSet::new((0..100).collect(), shape, vec![0; 100], vec!["a".to_owned()], String::new());
        let mut ahead = Ahead::of(Arc::new(set.unwrap())).unwrap();
        let places = |number: usize| (number < 25).then(|| (4 * number..4 * number + 4).collect());
        for number in [0, 1, 2, 2, 3, 9, 10, 10, 4, 5, 23, 24, 24] {
            let expected: Vec<u8> = (4 * number..4 * number + 4).map(|place| place as u8).collect();
            assert_eq!(ahead.batch(number, places).unwrap(), expected, "{number}");
        }
        assert!(ahead.coming.is_empty(), "nothing is read beyond the last batch");
    }
}
