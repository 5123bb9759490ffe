//! Packs a file as the copier packs a layer, and says how fast: `recompress FILE {gzip|zstd|zstd:chunked|none} [LEVEL]`.
//! The packed bytes go to the file of `OUT`, if that is set in the environment.

use std::{
    error::Error,
    io::{Write, stdout},
    time::Instant,
};

use async_trait::async_trait;
use berth_copier::{
    ByteStream, Content, Error as CopierError,
    compression::{Level, Recipe, Recompressed, Unpack},
    copy::CompressionFormat,
};
use futures_util::StreamExt;
use tokio_util::io::ReaderStream;

struct File(String);

#[async_trait]
impl Content for File {
    async fn open(&self, _from: u64) -> berth_copier::Result<ByteStream> {
        let file = tokio::fs::File::open(&self.0).await.map_err(CopierError::file(&self.0))?;
        let path = self.0.clone();
        let pieces = ReaderStream::with_capacity(file, 256 << 10);
        Ok(pieces.map(move |piece| piece.map_err(CopierError::file(&path))).boxed())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, format, level @ ..] = arguments.as_slice() else {
        return Err("usage: recompress FILE {gzip|zstd|zstd:chunked|none} [LEVEL]".into());
    };
    let format = match format.as_str() {
        "gzip" => Some(CompressionFormat::Gzip),
        "zstd" => Some(CompressionFormat::Zstd),
        "zstd:chunked" => Some(CompressionFormat::ZstdChunked),
        _ => None,
    };
    let level = level.first().map(|level| level.parse()).transpose()?;
    let pack = format.map(|format| Level::new(format, level).map(|level| (format, level))).transpose()?;
    let recipe = Recipe { unpack: Unpack::Detect, pack, ..Recipe::default() };
    let mut out = std::env::var_os("OUT").map(std::fs::File::create).transpose()?;
    let began = Instant::now();
    let content = Recompressed::new(Box::new(File(path.clone())), recipe);
    let mut stream = content.open(0).await?;
    let mut bytes = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        bytes += piece.len();
        if let Some(out) = &mut out {
            out.write_all(&piece)?;
        }
    }
    let facts = content.facts().ok_or("the stream ended without its facts")?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    let (rate, ratio) = (facts.plain_size as f64 / 1e6 / seconds, facts.plain_size as f64 / bytes as f64);
    writeln!(
        stdout(),
        "{} plain, {bytes} packed ({ratio:.2}), {seconds:.2} s, {rate:.0} MB/s",
        facts.plain_size
    )?;
    for (key, value) in facts.annotations {
        writeln!(stdout(), "{key}={value}")?;
    }
    Ok(())
}
