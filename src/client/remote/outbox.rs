//! What is to be sent: the latest value of each kind, and lines up to a bound.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use crate::{
    domain::{Json, Progress, Verdict, log::LONGEST_LINE},
    task::{ReportError, StopReason},
};

/// The most bytes of lines that wait, as JSON; older ones make room.
const MOST_BYTES: usize = 1 << 20;
/// The most lines of one request, and their bytes.
const LINES_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 256 << 10;
/// What a line costs beside its text.
const AROUND_A_LINE: usize = 12;

/// Told once everything reported so far is committed, or cannot be.
pub(super) type Waiter = Box<dyn FnOnce(Result<(), ReportError>) + Send>;

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Something waits, or the program is at its end.
    pub wake: Notify,
    stop: watch::Sender<Option<StopReason>>,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    lines: VecDeque<Line>,
    bytes: usize,
    dropped: u64,
    /// Lines that were ever added, and those that are taken or dropped.
    added: u64,
    gone: u64,
    /// Who waits for what is not taken yet: all values, and this many lines.
    waiters: Vec<(u64, Waiter)>,
    /// Who waits for no more than what is in flight.
    in_flight_waiters: Vec<Waiter>,
    /// The first refusal since somebody was told of one.
    refused: Option<ReportError>,
    in_flight: bool,
    is_over: bool,
    is_closed: bool,
}

/// What is sent at once.
#[derive(Default)]
pub(super) struct Batch {
    pub progress: Option<Progress>,
    pub output: Option<Option<Json>>,
    pub verdict: Option<Option<Verdict>>,
    pub lines: Vec<Line>,
    pub stop: bool,
}

/// A line, and how long it is as JSON.
pub(super) struct Line {
    pub text: String,
    cost: usize,
}

impl Line {
    /// One, but for what says how many were dropped: nobody waits for that.
    fn counts(&self) -> u64 {
        u64::from(self.cost > 0)
    }
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is to be sent.
    pub fn set(&self, change: impl FnOnce(&mut Batch)) -> Result<(), ReportError> {
        let mut waiting = self.waiting();
        if waiting.is_over {
            return Err(ReportError::Over);
        }
        let is_first = !waiting.has_any();
        change(&mut waiting.batch);
        let is_urgent = waiting.batch.stop;
        drop(waiting);
        // The sender knows of those before: a loop that sets and sets does not wake it each time.
        if is_first || is_urgent {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Adds lines; where there are too many the oldest go, and a line says how many.
    pub fn log(&self, text: &str) {
        let mut waiting = self.waiting();
        if waiting.is_over {
            return;
        }
        let is_first = !waiting.has_any();
        for line in text.split('\n') {
            let mut rest = line;
            loop {
                let (head, tail) = rest.split_at(rest.floor_char_boundary(LONGEST_LINE));
                waiting.push(head);
                if tail.is_empty() {
                    break;
                }
                rest = tail;
            }
        }
        drop(waiting);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// Calls `waiter` once everything reported so far is sent.
    pub fn when_sent(&self, waiter: Waiter) {
        let mut waiting = self.waiting();
        if waiting.is_over {
            drop(waiting);
            return waiter(Err(ReportError::Over));
        }
        if !waiting.has_any() && !waiting.in_flight {
            let outcome = waiting.refused.take().map_or(Ok(()), Err);
            drop(waiting);
            return waiter(outcome);
        }
        if waiting.has_any() {
            let mark = waiting.added;
            waiting.waiters.push((mark, waiter));
        } else {
            waiting.in_flight_waiters.push(waiter);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Whether there is anything to be sent.
    pub fn has_any(&self) -> bool {
        self.waiting().has_any()
    }

    /// Whether what waits is to be sent at once.
    pub fn is_urgent(&self) -> bool {
        let waiting = self.waiting();
        !waiting.waiters.is_empty() || waiting.is_closed || waiting.batch.stop
    }

    /// Whether the program no longer reports.
    pub fn is_closed(&self) -> bool {
        self.waiting().is_closed
    }

    /// The program no longer reports; answers whether anything is still to be sent.
    pub fn close(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        let unsent = !waiting.is_over && (waiting.has_any() || waiting.in_flight);
        drop(waiting);
        self.wake.notify_one();
        unsent
    }

    /// Takes what is to be sent now.
    pub fn take(&self) -> Batch {
        let mut waiting = self.waiting();
        waiting.in_flight = true;
        let mut batch = std::mem::take(&mut waiting.batch);
        if waiting.dropped > 0 {
            let text = format!("{} lines before this one came faster than they could be sent", waiting.dropped);
            waiting.dropped = 0;
            batch.lines.push(Line { text, cost: 0 });
        }
        let mut bytes = 0;
        while batch.lines.len() < LINES_AT_ONCE
            && let Some(line) = waiting.lines.pop_front_if(|line| bytes == 0 || bytes + line.cost <= BYTES_AT_ONCE)
        {
            bytes += line.cost;
            waiting.bytes -= line.cost;
            waiting.gone += line.counts();
            batch.lines.push(line);
        }
        let gone = waiting.gone;
        let served: Vec<_> = waiting.waiters.extract_if(.., |(mark, _)| *mark <= gone).collect();
        waiting.in_flight_waiters.extend(served.into_iter().map(|(_, waiter)| waiter));
        batch
    }

    /// What was taken is sent; whoever waited for no more than that is told.
    pub fn sent(&self) {
        let mut waiting = self.waiting();
        waiting.in_flight = false;
        let waiters = std::mem::take(&mut waiting.in_flight_waiters);
        let refused = if waiters.is_empty() { None } else { waiting.refused.take() };
        drop(waiting);
        tell(waiters, &refused.map_or(Ok(()), Err));
    }

    /// The daemon was away for too long: what was taken is kept for later, where nothing newer has come.
    pub fn put_back(&self, batch: Batch) {
        let mut waiting = self.waiting();
        waiting.in_flight = false;
        let newer = &mut waiting.batch;
        newer.progress = newer.progress.take().or(batch.progress);
        newer.output = newer.output.take().or(batch.output);
        newer.verdict = newer.verdict.take().or(batch.verdict);
        newer.stop |= batch.stop;
        waiting.gone -= batch.lines.iter().map(Line::counts).sum::<u64>();
        for line in batch.lines.into_iter().rev() {
            waiting.bytes += line.cost;
            waiting.lines.push_front(line);
        }
        waiting.make_room();
        let waiters = waiting.take_waiters();
        drop(waiting);
        tell(waiters, &Err(ReportError::Unavailable));
    }

    /// The daemon refused a report: the next flush says so.
    pub fn refuse(&self, error: ReportError) {
        self.waiting().refused.get_or_insert(error);
    }

    /// Nothing is taken any more.
    pub fn end(&self) {
        let mut waiting = self.waiting();
        waiting.is_over = true;
        waiting.in_flight = false;
        waiting.batch = Batch::default();
        waiting.lines.clear();
        let waiters = waiting.take_waiters();
        drop(waiting);
        self.ask_to_end(StopReason::Over);
        tell(waiters, &Err(ReportError::Over));
    }

    /// Tells the program to end. A later reason does not replace the first, except that the attempt is over.
    pub fn ask_to_end(&self, reason: StopReason) {
        self.stop.send_if_modified(|asked| {
            let changes = asked.is_none() || (reason == StopReason::Over && *asked != Some(reason));
            if changes {
                *asked = Some(reason);
            }
            changes
        });
    }

    /// Why the program should end, if it should.
    pub fn stop_reason(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Resolves once it should.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        // The sender is a field of `self`, so it lives.
        stop.wait_for(Option::is_some).await.ok().and_then(|reason| *reason).unwrap_or(StopReason::Over)
    }
}

impl Waiting {
    fn has_any(&self) -> bool {
        let Batch { progress, output, verdict, lines: _, stop } = &self.batch;
        progress.is_some() || output.is_some() || verdict.is_some() || *stop || !self.lines.is_empty()
    }

    fn take_waiters(&mut self) -> Vec<Waiter> {
        let mut all = std::mem::take(&mut self.in_flight_waiters);
        all.extend(self.waiters.drain(..).map(|(_, waiter)| waiter));
        all
    }

    fn push(&mut self, text: &str) {
        self.added += 1;
        let cost = serde_json::to_string(text).map_or(text.len(), |json| json.len()) + AROUND_A_LINE;
        self.bytes += cost;
        self.lines.push_back(Line { text: text.to_owned(), cost });
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.bytes > MOST_BYTES
            && let Some(line) = self.lines.pop_front()
        {
            self.bytes -= line.cost;
            self.dropped += 1;
            self.gone += line.counts();
        }
    }
}

fn tell(waiters: Vec<Waiter>, outcome: &Result<(), ReportError>) {
    for waiter in waiters {
        waiter(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn waiter() -> (Waiter, mpsc::Receiver<Result<(), ReportError>>) {
        let (sender, receiver) = mpsc::channel();
        (Box::new(move |outcome| sender.send(outcome).expect("somebody listens")), receiver)
    }

    fn progress(value: f64) -> Option<Progress> {
        Some(Progress::new(value, None).expect("in range"))
    }

    #[test]
    fn only_the_latest_value_is_sent_and_a_waiter_waits_for_what_came_before_it() {
        let outbox = Arc::new(Outbox::default());
        for value in [0.1, 0.2, 0.3] {
            outbox.set(|batch| batch.progress = progress(value)).expect("it goes on");
        }
        let (waits, told) = waiter();
        outbox.when_sent(waits);
        let batch = outbox.take();
        assert_eq!(batch.progress, progress(0.3));
        outbox.set(|batch| batch.progress = progress(0.4)).expect("it goes on");
        assert!(told.try_recv().is_err(), "0.3 is on its way");
        let (waits, told_of_more) = waiter();
        outbox.when_sent(waits);
        outbox.sent();
        assert_eq!(told.recv(), Ok(Ok(())), "what comes after it keeps it waiting no longer");
        let told = told_of_more;
        assert!(told.try_recv().is_err(), "0.4 is still to be sent");
        // Away for too long: what is newer stays.
        let batch = outbox.take();
        outbox.set(|batch| batch.progress = progress(0.5)).expect("it goes on");
        outbox.put_back(batch);
        assert_eq!(told.recv(), Ok(Err(ReportError::Unavailable)));
        assert_eq!(outbox.take().progress, progress(0.5));
        outbox.refuse(ReportError::Refused("no".into()));
        outbox.sent();
        for outcome in [Err(ReportError::Refused("no".into())), Ok(())] {
            let (waits, told) = waiter();
            outbox.when_sent(waits);
            assert_eq!(told.recv(), Ok(outcome));
        }
        outbox.end();
        assert_eq!(outbox.set(|batch| batch.stop = true), Err(ReportError::Over));
        assert_eq!(outbox.stop_reason(), Some(StopReason::Over));
    }

    #[test]
    fn a_waiter_waits_for_the_last_line_before_it() {
        let outbox = Outbox::default();
        for n in 0..1500 {
            outbox.log(&format!("{n}"));
        }
        let (waits, told) = waiter();
        outbox.when_sent(waits);
        outbox.log("later");
        assert_eq!(outbox.take().lines.len(), LINES_AT_ONCE);
        outbox.sent();
        assert!(told.try_recv().is_err());
        let last = outbox.take();
        outbox.put_back(last);
        assert_eq!(told.recv(), Ok(Err(ReportError::Unavailable)));
        let (waits, told) = waiter();
        outbox.when_sent(waits);
        assert_eq!(outbox.take().lines.len(), 501);
        outbox.sent();
        assert_eq!(told.recv(), Ok(Ok(())));
    }

    #[test]
    fn lines_are_cut_and_sent_in_parts_and_too_many_are_counted() {
        let outbox = Outbox::default();
        outbox.log(&format!("a\n{}", "ä".repeat(10_000)));
        let lengths: Vec<usize> = outbox.take().lines.iter().map(|line| line.text.len()).collect();
        assert_eq!(lengths, [1, LONGEST_LINE, 20_000 - LONGEST_LINE]);
        outbox.sent();

        for n in 0..3000 {
            outbox.log(&format!("{n:01000}"));
        }
        let first = outbox.take().lines;
        assert!(
            first[0].text.ends_with("lines before this one came faster than they could be sent"),
            "{}",
            first[0].text
        );
        assert!(first.len() < 300);
        outbox.sent();
        let mut last = first.last().map(|line| line.text.clone());
        while outbox.has_any() {
            last = outbox.take().lines.last().map(|line| line.text.clone());
            outbox.sent();
        }
        assert_eq!(last, Some(format!("{:01000}", 2999)), "the newest are kept");
        assert_eq!(outbox.waiting().bytes, 0);
    }
}
