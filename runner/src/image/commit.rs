//! An image of what a container changed.

use std::io;

use jiff::Timestamp;

use super::make::{About, NewLayer, make};
use crate::{
    cli::Context,
    error::{Result, RunnerError},
    record::Desired,
    stop::Stop,
    store::{Image, LayerWriter, layer_error},
    supervisor::{engine::Engine, live},
};

/// Counts what goes into a layer.
struct Counted<'a> {
    writer: LayerWriter,
    size: u64,
    stop: &'a Stop,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.check().map_err(io::Error::other)?;
        self.writer.take(bytes).map_err(io::Error::other)?;
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Processes that stand still until this is dropped.
struct Frozen<'a> {
    engine: Engine,
    container: &'a Desired,
}

impl<'a> Frozen<'a> {
    /// Freezes a container that runs; one that does not, or stands still already, needs nothing.
    fn of(context: &Context, container: &'a Desired) -> Result<Option<Self>> {
        if live::snapshot(&context.records, container)?.condition != live::Condition::Running {
            return Ok(None);
        }
        let engine = Engine::of(&context.folders, container);
        engine.freeze(&container.id, true)?;
        Ok(Some(Self { engine, container }))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // One that was killed meanwhile stays as it is; `unpause` is the way out of anything else.
        let _thawed = self.engine.freeze(&self.container.id, false);
    }
}

/// Makes an image of a container's image and what the container changed. Its processes stand still meanwhile, unless
/// `pause` is false.
///
/// # Errors
/// [`RunnerError::Usage`] for a container without an image; as [`make`].
pub(crate) fn commit(
    context: &Context,
    container: &Desired,
    about: &About,
    names: &[String],
    pause: bool,
) -> Result<Image> {
    let of = container.image.as_ref().ok_or_else(|| {
        RunnerError::Usage(format!(
            "container {} has a folder and no image: `berth-runner export` and `import` make an image of it",
            container.name
        ))
    })?;
    if context.store.is_shifted(container)? {
        return Err(RunnerError::Unsupported(format!(
            "container {0} has ids of its own (--userns auto), in which a layer's files would belong to nobody else: \
             `berth-runner export {0} | berth-runner import - NAME` makes an image of all its files",
            container.name
        )));
    }
    let _hold = context.store.hold()?;
    let base = context.store.find(of.manifest.as_str())?;
    let base = base.map_or_else(|| context.store.find(of.id.as_str()), |base| Ok(Some(base)))?;
    let base = base.ok_or_else(|| {
        RunnerError::NotFound(format!("the image {} of {} is gone", of.name, container.name))
    })?;
    // Whoever ends the command does not leave the container frozen.
    let stop = Stop::collect()?;
    let frozen = if pause { Frozen::of(context, container)? } else { None };
    let mut layer = Counted { writer: context.store.begin_unknown_layer()?, size: 0, stop: &stop };
    let written = context.store.upper_tar(container, &mut layer);
    drop(frozen);
    stop.or(written).map_err(|error| match error {
        // What the layer's writer refused came through as an error of writing.
        RunnerError::Io { what, source } => layer_error(source, &what),
        other => other,
    })?;
    stop.check()?;
    let layer = NewLayer { size: layer.size, diff_id: layer.writer.finish()? };
    make(&context.store, Some(&base), &layer, about, names, Timestamp::now())
}
