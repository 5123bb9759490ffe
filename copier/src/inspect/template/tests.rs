//! Templates, as people write them for Skopeo.

use proptest::prelude::*;

use super::*;
use crate::inspect::{Field, Time};

fn data() -> Value {
    Value::fields([
        Field::new("Name", Value::text("example.org/app")),
        Field::new("Created", Value::Time(Time::parse("2022-11-16T07:26:42.5Z").unwrap())),
        Field::new("Labels", Value::map([("maintainer", Value::text("<me>")), ("b.c", Value::text("x"))])),
        Field::new("Env", Value::texts(["PATH=/bin", "A=b"])),
        Field::new("RepoTags", Value::list([])),
        Field::new("Layers", Value::list([Value::fields([Field::new("Size", Value::Int(7))])])),
        Field::new("None", Value::Map(None)),
    ])
}

fn check(template: &str, expected: &str) {
    assert_eq!(render(template, &data()).unwrap(), format!("{expected}\n"), "{template}");
}

#[test]
fn fields_are_shown_as_go_shows_them() {
    check("Name: {{.Name}}", "Name: example.org/app");
    check("{{ .Env }}", "[PATH=/bin A=b]");
    check("{{.Labels}} {{.None}} {{.RepoTags}}", "map[b.c:x maintainer:<me>] map[] []");
    check("{{.Created}}", "2022-11-16 07:26:42.5 +0000 UTC");
    check("{{.Labels.maintainer}} {{.Labels.no}} {{.None.x}}", "<me> <no value> <no value>");
    check("{{index .Labels \"b.c\"}}{{index .Labels \"no\"}}|{{index .Env 1}}", "x|A=b");
    check("{{(index .Layers 0).Size}}", "7");
    check("a\\tb\\nc", "a\tb\nc");
    check("", "");
}

#[test]
fn json_is_compact_and_keeps_its_characters() {
    check("{{json .Labels}}", r#"{"b.c":"x","maintainer":"<me>"}"#);
    check("{{.Env | json}}", r#"["PATH=/bin","A=b"]"#);
    check("{{json .Created}}", "\"2022-11-16T07:26:42.5Z\"");
}

#[test]
fn blocks_choose_and_repeat() {
    check("{{if .RepoTags}}tags{{else if .Env}}env{{else}}none{{end}}", "env");
    check("{{range .Env}}<{{.}}>{{end}}", "<PATH=/bin><A=b>");
    check("{{range $i, $e := .Env}}{{$i}}={{$e}} {{end}}", "0=PATH=/bin 1=A=b ");
    check("{{range $k, $v := .Labels}}{{$k}}:{{$v}};{{end}}", "b.c:x;maintainer:<me>;");
    check("{{range .RepoTags}}x{{else}}none{{end}}", "none");
    check("{{with .Name}}{{.}} of {{$.Env}}{{end}}", "example.org/app of [PATH=/bin A=b]");
    check("{{range .}}{{range .Env}}{{.}},{{end}}{{end}}", "PATH=/bin,A=b,");
    check("{{$x := 1}}{{if true}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}}", "32");
    check("a {{- /* nothing */ -}} b", "ab");
    check("a {{- \" x \" -}} b {{ \"}}\" }}", "a x b }}");
}

#[test]
fn functions_do_what_the_container_tools_have() {
    check("{{join .Env \",\"}} {{.Env | join \"+\"}}", "PATH=/bin,A=b PATH=/bin+A=b");
    check("{{len .Env}} {{len .Name}} {{len .None}}", "2 15 0");
    check("{{upper .Name}} {{.Name | title | lower}}", "EXAMPLE.ORG/APP example.org/app");
    check(
        "{{printf \"%s has %d %q %v%%\" .Name (len .Env) \"a\\\"b\" .RepoTags}}",
        "example.org/app has 2 \"a\\\"b\" []%",
    );
    check(
        "{{range split .Name \"/\"}}[{{.}}]{{end}}{{truncate .Name 3}}{{pad \"x\" 1 2}}|",
        "[example.org][app]exa x  |",
    );
    check("{{if and .Name (not .RepoTags)}}y{{end}}{{or .RepoTags .Name}}", "yexample.org/app");
    check(
        "{{eq .Name \"a\" \"example.org/app\"}} {{ne 1 2}} {{lt 1 2}} {{ge \"b\" \"c\"}}",
        "true true true false",
    );
    check("{{print 1 \"a\"}}{{println \"x\"}}", "1 ax\n");
}

#[test]
fn what_cannot_be_meant_says_so() {
    for (template, part) in [
        ("{{.Nam}}", "there is no field .Nam; known are Name, Created"),
        ("{{.Name.x}}", "there is no field .x in a text"),
        ("{{.Name", "is not closed by }}"),
        ("{{end}}", "has no beginning"),
        ("{{if .Name}}x", "there is no {{end}}"),
        ("{{if .Name}}x{{else}}y{{else}}z{{end}}", "behind the last one"),
        ("{{}}", "an action says something"),
        ("{{.Name | }}", "missing"),
        ("{{(.Name}}", "not closed"),
        ("{{.Name)}}", "has no `(`"),
        ("{{foo .Name}}", "there is no function `foo`"),
        ("{{json}}", "does not take 0 arguments"),
        ("{{template \"x\"}}", "not done here"),
        ("{{$y}}", "no variable $y"),
        ("{{.Name .Env}}", "only functions take arguments"),
        ("{{index .Env 9}}", "out of range"),
        ("{{range .Name}}{{end}}", "lists and maps"),
        ("{{\"a}}", "not closed"),
        ("{{1.5}}", "no whole number"),
        ("{{printf \"%x\" 1}}", "%x is not done here"),
        ("{{pad .Name 99999 1}}", "no number from 0"),
        ("table {{.Name}}", "tables"),
    ] {
        let fault = render(template, &data()).unwrap_err();
        assert!(fault.to_string().contains(part), "{template}: {fault}");
        assert_eq!(fault.exit_code(), 2);
    }
}

#[test]
fn what_would_not_end_is_stopped() {
    let deep = format!("{}x{}", "{{if 1}}".repeat(65), "{{end}}".repeat(65));
    assert!(render(&deep, &data()).is_err());
    let parentheses = format!("{{{{{}1{}}}}}", "(".repeat(70), ")".repeat(70));
    assert!(render(&parentheses, &data()).is_err());
    let hundred = Value::list((0..100).map(Value::Int));
    let many = Value::fields([Field::new("L", hundred)]);
    let loops = format!("{}x{}", "{{range $.L}}".repeat(8), "{{end}}".repeat(8));
    assert!(render(&loops, &many).unwrap_err().to_string().contains("steps"));
    assert!(render(&"x".repeat(MAX_TEMPLATE), &data()).is_err());
}

proptest! {
    #[test]
    fn no_template_makes_it_panic(template in "([ -~]|\\{\\{|\\}\\}|range |if |end|else|\\.Env|\\$x|:=|\\|){0,24}|\\PC{0,40}") {
        let _shown = render(&template, &data());
    }
}
