//! The file that a history is written to.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
    time::Instant,
};

use super::event::{Event, What};

/// Writes a history, in the order in which things happened. What comes while one sync is under way shares the next.
pub struct Recorder {
    began: Instant,
    path: PathBuf,
    sender: Mutex<Option<Sender<Event>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    /// Begins a history in a new file.
    pub fn begin(path: &Path) -> Self {
        let file = File::create_new(path).expect("the history can be created");
        let (sender, receiver) = mpsc::channel::<Event>();
        let writer = std::thread::spawn(move || {
            let mut out = BufWriter::new(file);
            while let Ok(first) = receiver.recv() {
                for event in std::iter::once(first).chain(receiver.try_iter()) {
                    serde_json::to_writer(&mut out, &event).expect("an event can be written");
                    out.write_all(b"\n").expect("an event can be written");
                }
                out.flush().expect("the history can be written");
                out.get_ref().sync_data().expect("the history can be synced");
            }
        });
        Recorder {
            began: Instant::now(),
            path: path.to_owned(),
            sender: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Writes one line.
    pub fn record(&self, client: u32, what: What) {
        // The time is taken under the lock, so that lines stand in its order.
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.began.elapsed().as_micros() as u64;
        if let Some(sender) = &*sender {
            sender.send(Event { at, client, what }).expect("the history's writer lives");
        }
    }

    /// Ends the history and reads it back. What comes later is left out.
    pub fn end(&self) -> Vec<Event> {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            writer.join().expect("the history was written");
        }
        let text = fs::read_to_string(&self.path).expect("the history can be read");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the history")).collect()
    }
}
