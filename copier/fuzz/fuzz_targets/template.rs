#![no_main]
//! Templates of `inspect --format`, on data of every kind.

use berth_copier::inspect::{Field, Time, Value, template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let data = Value::fields([
        Field::new("Name", Value::text("a/b")),
        Field::new("Tags", Value::texts(["x", "y"])),
        Field::new("Labels", Value::map([("a", Value::text("1")), ("b.c", Value::text("2"))])),
        Field::new("Layers", Value::list([Value::fields([Field::new("Size", Value::text("7"))])])),
        Field::new("Created", Time::parse("2026-01-02T03:04:05.678Z").map_or(Value::text(""), Value::Time)),
    ]);
    let _any = template::render(text, &data);
});
