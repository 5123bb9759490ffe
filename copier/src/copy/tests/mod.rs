//! The engine between fakes.

mod attached;
mod faithful;
mod fakes;
mod hostile;
mod order;
mod repacked;
mod secret;

use std::sync::Arc;

use self::fakes::{Heap, Log, Shelf};
use super::{Options, Report, run};
use crate::{Result, Session, Settings, Sink, Source};

fn session() -> Session {
    let platform = "linux/amd64".parse().unwrap();
    Session::new(Settings { platform, insecure_policy: true, ..Settings::default() }).unwrap()
}

async fn copy(source: &Shelf, sink: &Heap, options: &Options) -> Result<Report> {
    run(&session(), source, sink, options, &Log::default()).await
}

fn all() -> Options {
    Options { instances: crate::source::Instances::All, ..Options::default() }
}

#[test]
fn a_copy_can_be_given_to_a_task() {
    fn task<T: Send + 'static>(_: T) {}
    let session = session();
    task(async move {
        let (source, sink): (Arc<dyn Source>, Arc<dyn Sink>) =
            (Arc::new(Shelf::default()), Arc::new(Heap::default()));
        run(&session, &*source, &*sink, &Options::default(), &crate::progress::Silent).await
    });
}
