//! What puts a server into AWS: the templates, read and looked over, and the scripts, run against an emulator.

mod compose;
mod emulated;
mod grafana;
mod image;
mod installation;
mod laptop;
mod proxied;
mod rights;
mod scripts;
mod templates;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// The templates by name, with their short forms (`!Ref X`) written out (`{"Ref": "X"}`).
static TEMPLATES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(read_templates);

/// Reads YAML as CloudFormation does: numbers, switches and dates that stand where a text is wanted are for it to judge.
const READER: &str = r#"
import json, pathlib, sys, yaml

class Loader(yaml.SafeLoader):
    pass

def written_out(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt":
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else "Fn::" + tag: value}

Loader.add_multi_constructor("!", written_out)
files = [pathlib.Path(name) for name in sys.argv[1:]]
print(json.dumps({file.stem: yaml.load(file.read_text(), Loader) for file in files}))
"#;

/// A file or folder of the repository.
fn home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A program that `tests/run` has installed into one of its Python environments.
fn installed(environment: &str, program: &str) -> PathBuf {
    let program = home("tests/.cache").join(environment).join("bin").join(program);
    assert!(program.exists(), "{} is missing: `tests/run` provides it", program.display());
    program
}

/// The files of a folder that have this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = home(folder).read_dir().expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == ending)).collect();
    files.sort();
    files
}

/// YAML files as JSON, by their names without the ending.
fn read_yaml(files: &[PathBuf]) -> BTreeMap<String, Value> {
    let output = Command::new(installed("aws", "python"))
        .args(["-B", "-c", READER])
        .args(files)
        .output()
        .expect("Python is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn read_templates() -> BTreeMap<String, Value> {
    let templates = read_yaml(&files("infra", "yaml"));
    assert_eq!(templates.len(), 8, "{:?}", templates.keys());
    templates
}

/// The properties of a resource.
fn properties(template: &str, resource: &str) -> &'static Value {
    let properties = &TEMPLATES[template]["Resources"][resource]["Properties"];
    assert!(properties.is_object(), "{template} has no {resource}");
    properties
}

/// A list, or the one thing that stands in its place.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Statements of a policy, of every case: those that depend on a condition are taken out of it.
fn statements(value: &Value) -> Vec<&Value> {
    match value.get("Fn::If").and_then(Value::as_array) {
        Some(cases) => cases[1..].iter().flat_map(statements).collect(),
        None if value.is_array() => list(value).into_iter().flat_map(statements).collect(),
        None if value.get("Effect").is_some() => vec![value],
        None => Vec::new(),
    }
}

/// The statements of a role.
fn policy_of(template: &str, role: &str) -> Vec<&'static Value> {
    let policies = list(&properties(template, role)["Policies"]);
    policies.into_iter().flat_map(|it| statements(&it["PolicyDocument"]["Statement"])).collect()
}

/// The actions that a role allows in these statements.
fn actions((template, role): (&str, &str), ids: &[&str]) -> BTreeSet<String> {
    let statements = policy_of(template, role);
    names_of(statements.into_iter().filter(|it| it["Sid"].as_str().is_some_and(|id| ids.contains(&id))))
}

/// The actions that a policy allows which belongs to no role.
fn policy_actions(template: &str, policy: &str) -> BTreeSet<String> {
    names_of(statements(&properties(template, policy)["PolicyDocument"]["Statement"]).into_iter())
}

fn names_of<'s>(statements: impl Iterator<Item = &'s Value>) -> BTreeSet<String> {
    let actions = statements.flat_map(|it| list(&it["Action"]));
    actions.map(|it| it.as_str().expect("a name").to_owned()).collect()
}

/// Every value within a value, itself first.
fn within(value: &Value) -> Vec<&Value> {
    let inner: Vec<_> = match value {
        Value::Array(values) => values.iter().flat_map(within).collect(),
        Value::Object(fields) => fields.values().flat_map(within).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    std::iter::once(value).chain(inner).collect()
}
