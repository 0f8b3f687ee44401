//! The events of the range over time, as bars that lead to their part of it.

use dezky_audit_core::time::Timestamp;

use super::counts::Counts;
use super::range::Range;
use super::view::View;

const HOUR_MS: u64 = 3_600_000;
/// The most bars.
const BARS: u64 = 64;
/// How long a bar may be.
const WIDTHS_MS: [u64; 17] = [
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
    7 * 24 * HOUR_MS,
    30 * 24 * HOUR_MS,
    90 * 24 * HOUR_MS,
    365 * 24 * HOUR_MS,
];
/// The drawing's height, in its own units.
const HEIGHT: u64 = 100;

/// A drawing of [`HEIGHT`] by ten units a bar.
pub(super) struct Histogram {
    pub(super) bars: Vec<Bar>,
    pub(super) width: usize,
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) total: u64,
}

pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: u64,
    pub(super) height: u64,
    /// Of those that did not succeed; part of the bar.
    pub(super) ill_y: u64,
    pub(super) ill_height: u64,
    pub(super) title: String,
    pub(super) url: String,
}

impl Histogram {
    pub(super) fn of(counts: &Counts, view: &View) -> Self {
        let span = counts.until_ms.saturating_sub(counts.from_ms).max(1);
        let least = if counts.hourly { HOUR_MS } else { 0 };
        let fits = |width: &&u64| **width >= least && span / **width < BARS;
        let width = WIDTHS_MS.iter().find(fits).copied().unwrap_or(WIDTHS_MS[16]);
        let first = counts.from_ms / width;
        let n = (counts.until_ms / width).saturating_sub(first) + 1;
        let mut sums = vec![(0, 0); usize::try_from(n.min(2 * BARS)).unwrap_or(0)];
        for (at, (all, ill)) in &counts.moments {
            let place = (at / width).checked_sub(first).and_then(|place| usize::try_from(place).ok());
            if let Some((sum, sum_ill)) = place.and_then(|place| sums.get_mut(place)) {
                *sum += all;
                *sum_ill += ill;
            }
        }
        let most = sums.iter().map(|(all, _)| *all).max().unwrap_or(0).max(1);
        let bar = |(index, (all, ill)): (usize, &(u64, u64))| {
            let begin = (first + index as u64) * width;
            bar(index, begin, width, (*all, *ill, most), view)
        };
        Self {
            width: sums.len() * 10,
            total: sums.iter().map(|(all, _)| *all).sum(),
            bars: sums.iter().enumerate().filter(|(_, (all, _))| *all > 0).map(bar).collect(),
            from_ms: first * width,
            until_ms: (first + n) * width,
            from: iso(first * width),
            until: iso(counts.until_ms),
        }
    }
}

fn bar(index: usize, begin: u64, width: u64, (all, ill, most): (u64, u64, u64), view: &View) -> Bar {
    // Few are still to be seen beside many.
    let height = |n: u64| if n == 0 { 0 } else { (n * HEIGHT / most).max(2) };
    let ends = (Timestamp::from_unix_ms(begin), Timestamp::from_unix_ms(begin + width));
    let not = if ill > 0 { format!(", {ill} not successful") } else { String::new() };
    let what = if all == 1 { "event" } else { "events" };
    Bar {
        x: index * 10,
        y: HEIGHT - height(all),
        height: height(all),
        ill_y: HEIGHT - height(ill),
        ill_height: height(ill),
        title: format!("{} UTC: {all} {what}{not}", iso(begin).get(..16).unwrap_or_default().replace('T', " ")),
        url: view.ranged(Range::Between(ends.0, ends.1)).url(),
    }
}

fn iso(ms: u64) -> String {
    Timestamp::from_unix_ms(ms).unwrap_or(Timestamp::MAX).to_string()
}
