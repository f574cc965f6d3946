//! Places for the labels of points, so that none covers another, a point or the frame.

use super::canvas::{CHARACTER, Frame, LINE};

/// A straight line in pixels, from one end to the other.
pub(super) type Stretch = ((f64, f64), (f64, f64));

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn is_inside(&self, frame: Frame) -> bool {
        self.left >= frame.left + 2.0
            && self.right <= frame.right - 2.0
            && self.top >= frame.top + 2.0
            && self.bottom <= frame.bottom - 2.0
    }

    /// Left end of the text, and its base line.
    pub(super) fn text_start(&self) -> (f64, f64) {
        (self.left + 2.0, self.bottom - 4.0)
    }

    /// The point of the rectangle nearest to `point`.
    pub(super) fn nearest(&self, point: (f64, f64)) -> (f64, f64) {
        (point.0.clamp(self.left, self.right), point.1.clamp(self.top, self.bottom))
    }

    fn around(point: (f64, f64), reach: f64) -> Self {
        Self { left: point.0 - reach, top: point.1 - reach, right: point.0 + reach, bottom: point.1 + reach }
    }
}

/// One area a label, in the order of `labels`. `busy` are stretches that labels should keep off, such as error bars and
/// lines. Greedy: the nearest free place round the point; where there is none, the one that covers least.
pub(super) fn place(labels: &[(&str, (f64, f64))], busy: &[Stretch], frame: Frame) -> Vec<Area> {
    let mut taken: Vec<Area> = labels.iter().map(|(_, point)| Area::around(*point, 5.0)).collect();
    for (from, to) in busy {
        // Samples along the stretch: close enough that no text fits between.
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let count = (length / 6.0).ceil().clamp(1.0, 400.0);
        for index in 0..=count as usize {
            let share = index as f64 / count;
            let at = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            taken.push(Area::around(at, 1.5));
        }
    }
    let mut placed = Vec::with_capacity(labels.len());
    for (text, point) in labels {
        let width = 4.0 + CHARACTER * text.chars().count() as f64;
        let covered = |area: &Area| {
            let outside = if area.is_inside(frame) { 0 } else { 1000 };
            outside + taken.iter().filter(|other| area.overlaps(other)).count()
        };
        let best = candidates(*point, width).min_by_key(|area| covered(area));
        let area = best.unwrap_or(Area::around(*point, 5.0));
        taken.push(area);
        placed.push(area);
    }
    placed
}

/// Areas round `point`, the best liked first: the first of equally free ones is taken.
fn candidates(point: (f64, f64), width: f64) -> impl Iterator<Item = Area> {
    const DIRECTIONS: [(f64, f64); 8] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, -1.0),
        (0.0, 1.0),
        (1.0, -1.0),
        (1.0, 1.0),
        (-1.0, -1.0),
        (-1.0, 1.0),
    ];
    [8.0, 20.0, 36.0, 56.0, 80.0].into_iter().flat_map(move |distance: f64| {
        DIRECTIONS.into_iter().map(move |(across, down)| {
            let left = point.0 + across * distance - width * (1.0 - across) / 2.0;
            let top = point.1 + down * distance - LINE * (1.0 - down) / 2.0;
            Area { left, top, right: left + width, bottom: top + LINE }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_near_points_do_not_touch() {
        let frame = Frame { left: 0.0, top: 0.0, right: 400.0, bottom: 300.0 };
        let labels: Vec<(&str, (f64, f64))> =
            (0..8).map(|index| ("gaat-paper", (200.0 + f64::from(index), 150.0))).collect();
        let areas = place(&labels, &[((0.0, 160.0), (400.0, 160.0))], frame);
        for (index, area) in areas.iter().enumerate() {
            assert!(area.is_inside(frame), "{area:?}");
            assert!(!areas[..index].iter().any(|other| area.overlaps(other)), "{areas:?}");
        }
        // At the edge a label turns inwards.
        let edge = place(&[("method", (395.0, 5.0))], &[], frame);
        assert!(edge[0].is_inside(frame));
    }
}
