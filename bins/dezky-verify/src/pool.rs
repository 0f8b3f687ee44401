//! Work on all cores whose results are taken in order.

use std::sync::mpsc::sync_channel;
use std::thread;

/// Applies `work` to each item on several threads and `take` to each result, in the order of the items, on this one.
/// At most two results a thread wait, so memory does not grow with the number of items.
pub(crate) fn in_order<T: Send, R: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    mut take: impl FnMut(R),
) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    thread::scope(|scope| {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (input, items) = sync_channel::<T>(1);
            let (results, output) = sync_channel::<R>(0);
            let work = &work;
            scope.spawn(move || items.into_iter().map(work).try_for_each(|result| results.send(result)));
            inputs.push(input);
            outputs.push(output);
        }
        scope.spawn(move || items.zip((0..threads).cycle()).try_for_each(|(item, thread)| inputs[thread].send(item)));
        for output in outputs.iter().cycle() {
            let Ok(result) = output.recv() else { break };
            take(result);
        }
    });
}

/// Each thread holds a batch of checked events, some 15 MB.
const MAX_THREADS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_all() {
        for count in [0, 1, 2, 7, 1_000] {
            let mut taken = Vec::new();
            in_order(0..count, |item| item * 2, |result| taken.push(result));
            assert_eq!(taken, (0..count).map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
