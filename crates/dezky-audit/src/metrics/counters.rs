//! The numbers while they run: plain atomics, written by whoever does the thing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Histogram;

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) recorded: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) refused: Counter,
    pub(crate) overloaded: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) outcome_unknown: Counter,
    pub(crate) lost_races: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoint_failures: Counter,
    pub(crate) spooled: Counter,
    pub(crate) lost: Counter,
    pub(crate) verified_events: Counter,
    pub(crate) batch_events: Buckets<15>,
    pub(crate) commit_seconds: Buckets<17>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            recorded: Counter::default(),
            duplicates: Counter::default(),
            conflicts: Counter::default(),
            refused: Counter::default(),
            overloaded: Counter::default(),
            unavailable: Counter::default(),
            outcome_unknown: Counter::default(),
            lost_races: Counter::default(),
            checkpoints: Counter::default(),
            checkpoint_failures: Counter::default(),
            spooled: Counter::default(),
            lost: Counter::default(),
            verified_events: Counter::default(),
            batch_events: Buckets::doubling_from(1.0),
            commit_seconds: Buckets::doubling_from(0.000_25),
        }
    }
}

/// A number that many threads write.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Observations in `N` buckets, each bound twice the one before, the last without a bound.
#[derive(Debug)]
pub(crate) struct Buckets<const N: usize> {
    first: f64,
    counts: [AtomicU64; N],
    /// In millionths.
    sum: AtomicU64,
}

impl<const N: usize> Buckets<N> {
    fn doubling_from(first: f64) -> Self {
        Self { first, counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value: f64) {
        let bucket = self.bounds().position(|bound| value <= bound).unwrap_or(N - 1);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let mut count = 0;
        let buckets = self.bounds().zip(&self.counts).map(|(bound, n)| {
            count += n.load(Ordering::Relaxed);
            (bound, count)
        });
        let buckets = buckets.collect();
        #[expect(clippy::cast_precision_loss, reason = "a statistic")]
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        Histogram { buckets, sum, count }
    }

    fn bounds(&self) -> impl Iterator<Item = f64> {
        let first = self.first;
        (0..N).scan(first, move |bound, at| {
            let this = if at + 1 == N { f64::INFINITY } else { *bound };
            *bound *= 2.0;
            Some(this)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_into_cumulative_buckets() {
        let buckets = Buckets::<4>::doubling_from(1.0);
        for value in [0.5, 1.0, 1.5, 4.0, 5.0, 500.0] {
            buckets.observe(value);
        }
        let histogram = buckets.snapshot();
        assert_eq!(histogram.buckets, [(1.0, 2), (2.0, 3), (4.0, 4), (f64::INFINITY, 6)]);
        assert_eq!((histogram.count, histogram.sum), (6, 512.0));
    }
}
