//! Panics of handlers, caught with the place where they happened.
//!
//! The place is known to the panic hook only. Ours remembers it for code that runs under [`guarded`] and prints
//! nothing there, for the panic becomes the instance's error; everywhere else the former hook does its work.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Once,
    task::Poll,
};

use super::error::shortened;

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caught {
    /// What it said.
    pub(super) message: String,
    /// `file:line:column`.
    pub(super) location: Option<String>,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and catches its panic.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    install_hook();
    let outside = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outside);
    result.map_err(|payload| {
        let location = LOCATION.take();
        match payload.downcast::<Caught>() {
            Ok(caught) => *caught,
            Err(payload) => Caught { message: shortened(message(&*payload)), location },
        }
    })
}

/// Drives `future` and catches its panic.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, Caught> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match guarded(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(caught) => Poll::Ready(Err(caught)),
    })
    .await
}

impl Caught {
    /// Goes on with the panic on this thread. The place stays the first one.
    pub(super) fn resume(self) -> ! {
        panic::resume_unwind(Box::new(self))
    }
}

fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // `try_with`: a destructor may panic when the thread's locals are gone already.
            if GUARDED.try_with(Cell::get).unwrap_or(false) {
                let location = panic.location().map(ToString::to_string);
                LOCATION.with(|kept| kept.replace(location));
            } else {
                former(panic);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "the handler panicked with a value that is no text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_panic_is_known() {
        let line = line!() + 1;
        let caught = guarded::<()>(|| panic!("no {}", "luck")).expect_err("it panicked");
        assert_eq!(caught.message, "no luck");
        let location = caught.location.expect("the hook saw it");
        assert!(location.starts_with(&format!("{}:{line}:", file!())), "{location}");
    }

    #[test]
    fn a_panic_that_is_resumed_keeps_its_place() {
        let first = guarded::<()>(|| panic!("deep")).expect_err("it panicked");
        let again = guarded::<()>(|| first.clone().resume()).expect_err("it panicked again");
        assert_eq!(again, first);
    }

    #[test]
    fn a_value_that_is_no_text_has_a_message_too() {
        let caught = guarded::<()>(|| panic::panic_any(7)).expect_err("it panicked");
        assert_eq!(caught.message, "the handler panicked with a value that is no text");
        assert!(caught.location.is_some());
    }
}
