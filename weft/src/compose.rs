//! `docker-compose.yml` against the command line that it calls: what it says has to be what this
//! Weft understands, and each service is given what it needs and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value};
use weft_storage::StorePlace;

use crate::commands::{Cli, Command};
use crate::nats_login::PASSWORD_VARIABLE;

type Text = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).expect("YAML")
}

/// The members of an object; of none where it is absent.
fn members<'a>(of: &'a Value, name: &str) -> Vec<(&'a String, &'a Value)> {
    of[name].as_object().map(|object| object.iter().collect()).unwrap_or_default()
}

fn services(file: &Value) -> Vec<(&String, &Value)> {
    let services = members(file, "services");
    assert!(services.len() >= 8, "{services:?}");
    services
}

/// Those that run this repository's image.
fn parts(file: &Value) -> Vec<(&String, &Value)> {
    let parts: Vec<_> =
        services(file).into_iter().filter(|(_, it)| !it["build"].is_null()).collect();
    assert!(parts.len() >= 2, "{parts:?}");
    parts
}

/// A list of names, or the keys of an object, or what each object of a list calls `source`.
fn names(of: &Value) -> BTreeSet<String> {
    let name = |item: &Value| {
        let name = item.as_str().or_else(|| item["source"].as_str());
        name.unwrap_or_else(|| panic!("{item}")).to_owned()
    };
    match of {
        Value::Object(object) => object.keys().cloned().collect(),
        Value::Array(list) => list.iter().map(name).collect(),
        Value::Null => BTreeSet::new(),
        other => panic!("{other}"),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn words(of: &Value) -> Vec<String> {
    let word = |item: &Value| item.as_str().unwrap_or_else(|| panic!("{item}")).to_owned();
    of.as_array().unwrap_or_else(|| panic!("{of}")).iter().map(word).collect()
}

fn environment(service: &Value) -> Text {
    let none = Map::new();
    let object = service["environment"].as_object().unwrap_or(&none);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The command line that says the same as the service's command and environment.
fn command_line(name: &str, service: &Value) -> Vec<String> {
    let command = words(&service["command"]);
    let cli = Cli::command();
    let role = cli.find_subcommand(&command[0]).unwrap_or_else(|| panic!("{name}: {command:?}"));
    let mut line = vec!["weft".to_owned()];
    line.extend(command);
    for (variable, value) in environment(service) {
        let known = role.get_arguments().chain(cli.get_arguments().filter(|it| it.is_global_set()));
        let option = known
            .filter(|it| it.get_env().is_some_and(|env| env == variable.as_str()))
            .find_map(clap::Arg::get_long)
            .unwrap_or_else(|| panic!("{name}: weft does not know {variable}"));
        line.push(format!("--{option}={value}"));
    }
    line
}

fn parsed(name: &str, service: &Value) -> Command {
    let cli = Cli::try_parse_from(command_line(name, service));
    cli.unwrap_or_else(|error| panic!("{name}: {error}")).command.expect("a command")
}

#[test]
fn each_part_is_started_with_options_that_it_has() {
    let file = compose();
    let mut roles = BTreeSet::new();
    for (name, service) in parts(&file) {
        parsed(name, service);
        roles.insert(words(&service["command"])[0].clone());
        let check = words(&service["healthcheck"]["test"]);
        assert_eq!(check[..2], ["CMD", "weft"], "{name}");
        Cli::try_parse_from(&check[1..]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let admin = environment(service)["WEFT_ADMIN_LISTEN"].clone();
        let (_, port) = admin.rsplit_once(':').expect("a port");
        assert_eq!(check[3], format!("http://127.0.0.1:{port}/readyz"), "{name}: its own port");
    }
    assert_eq!(
        roles,
        set(&["core", "edge", "files", "integrations", "presence", "push", "search"]),
        "the roles that there are"
    );
}

#[test]
fn the_parts_fit_each_other() {
    let file = compose();
    let servers = services(&file).iter().filter(|(name, _)| name.starts_with("nats-")).count();
    let mapping = read("deploy/nats.conf");
    for (name, service) in parts(&file) {
        // Presence counts no partitions.
        let (partitions, nats) = match parsed(name, service) {
            Command::Core(core) => {
                assert_eq!(usize::from(core.replicas), servers, "a copy for each server");
                let StorePlace::Fdb { cluster, .. } = core.store else { panic!("many need FDB") };
                assert!(core.node.is_some(), "else who comes back has to wait");
                let mounted = configs(service);
                assert_eq!(mounted[cluster.to_str().expect("path")], "fdb.cluster");
                (Some(core.partitions.partitions), core.nats)
            }
            Command::Edge(edge) => {
                assert!(edge.listen.ip().is_unspecified(), "reached from outside of its container");
                assert!(edge.node.is_none(), "a new one with each start");
                assert!(edge.public_url.is_none(), "clients reach the balancer alone");
                let grace = service["stop_grace_period"].as_str().expect("a time");
                let grace_s: u64 = grace.trim_end_matches('s').parse().expect("seconds");
                assert!(grace_s >= edge.drain_s + 10, "{grace}: killed while it drains");
                (Some(edge.partitions.partitions), edge.nats)
            }
            Command::Presence(presence) => (None, presence.nats),
            Command::Integrations(integrations) => (None, integrations.nats),
            Command::Push(push) => {
                let volume = names(&service["volumes"]).pop_first().expect("a volume");
                let (_, place) = volume.split_once(':').expect("a named volume");
                assert!(push.key.starts_with(place), "{volume}: browsers subscribe for one key");
                (None, push.nats)
            }
            Command::Search(search) => {
                let volume = names(&service["volumes"]).pop_first().expect("a volume");
                let (_, place) = volume.split_once(':').expect("a named volume");
                assert!(search.data.starts_with(place), "{volume}");
                assert_eq!(service["deploy"]["replicas"], 1, "its folder belongs to one");
                (None, search.nats)
            }
            Command::Files(files) => {
                assert!(
                    files.listen.ip().is_unspecified(),
                    "reached from outside of its container"
                );
                assert_eq!(
                    files.public_url.as_deref(),
                    Some("/"),
                    "clients reach the balancer alone"
                );
                let volume = names(&service["volumes"]).pop_first().expect("a volume");
                assert!(volume.ends_with(&format!(":{}", files.data.display())), "{volume}");
                (None, files.nats)
            }
            other => panic!("{other:?}"),
        };
        if let Some(partitions) = partitions {
            assert!(mapping.contains(&format!("partition({partitions},")), "{name}: {partitions}");
        }
        assert_eq!(nats.url.split(',').count(), servers, "{name}");
        let secret = format!("/run/secrets/{}.password", words(&service["command"])[0]);
        assert_eq!(nats.password_file, Some(secret.into()), "{name}");
    }
    let cluster = environment(&file["services"]["foundationdb"]);
    let contents = cluster["FDB_CLUSTER_FILE_CONTENTS"].clone();
    assert_eq!(read("deploy/fdb.cluster").trim(), contents);
}

#[test]
fn without_foundationdb_one_core_keeps_its_store_in_a_volume() {
    let file = compose();
    let other: Value = serde_saphyr::from_str(&read("deploy/embedded.yml")).expect("YAML");
    let core = &other["services"]["core"];
    assert_eq!(core["deploy"]["replicas"], 1, "the store belongs to one process");
    let store = environment(core)["WEFT_STORE"].parse();
    let Ok(StorePlace::Embedded(folder)) = store else { panic!("{store:?}") };
    let volume = names(&core["volumes"]).pop_first().expect("a volume");
    let (name, place) = volume.split_once(':').expect("a named volume");
    assert!(names(&other["volumes"]).contains(name), "{volume}");
    assert!(folder.starts_with(place), "{volume}");
    assert!(
        read("Dockerfile").contains(&format!("-o weft -g weft {place}\n")),
        "else it is root's"
    );
    for (name, service) in members(&other, "services") {
        assert!(file["services"][name].is_object(), "{name}");
        assert!(name == "core" || service["profiles"].is_array(), "{name} would be started");
        for (needed, _) in members(service, "depends_on") {
            assert!(other["services"][needed]["profiles"].is_null(), "{name} waits for {needed}");
        }
    }
}

/// Where a service's configurations are → their names.
fn configs(service: &Value) -> Text {
    let list = service["configs"].as_array().cloned().unwrap_or_default();
    let text = |item: &Value, name: &str| item[name].as_str().expect("text").to_owned();
    list.iter().map(|item| (text(item, "target"), text(item, "source"))).collect()
}

#[test]
fn what_is_named_is_there() {
    let file = compose();
    let own = |what: &str| names(&file[what]);
    let (networks, volumes, secrets, configs) =
        (own("networks"), own("volumes"), own("secrets"), own("configs"));
    for (name, service) in services(&file) {
        assert!(!service["networks"].is_null(), "{name} would get a network of its own");
        assert!(service["ulimits"].is_null(), "{name}: not made where the machine allows less");
        assert!(networks.is_superset(&names(&service["networks"])), "{name}");
        assert!(secrets.is_superset(&names(&service["secrets"])), "{name}");
        assert!(configs.is_superset(&names(&service["configs"])), "{name}");
        for volume in names(&service["volumes"]) {
            let (source, _) = volume.split_once(':').expect("a named volume");
            assert!(volumes.contains(source), "{name}: {volume}");
        }
        for (other, how) in members(service, "depends_on") {
            let other = &file["services"][other.as_str()];
            let is_there = match how["condition"].as_str().expect("a condition") {
                "service_started" => other.is_object(),
                "service_healthy" => other["healthcheck"]["test"].is_array(),
                "service_completed_successfully" => other["restart"] == "no",
                condition => panic!("{name}: {condition}"),
            };
            assert!(is_there, "{name} waits in vain: {how}");
        }
        for variable in environment(service).into_values() {
            assert!(!variable.contains("${"), "{name}: {variable} depends on who starts it");
        }
    }
    for (name, config) in members(&file, "configs") {
        read(config["file"].as_str().unwrap_or_else(|| panic!("{name}")));
    }
}

/// A password is in a file that `deploy/secrets.sh` makes, and is given to who needs it.
#[test]
fn passwords_are_for_who_needs_them_and_stand_nowhere_else() {
    let file = compose();
    let maker = read("deploy/secrets.sh");
    for (name, secret) in members(&file, "secrets") {
        assert_eq!(secret["file"], format!("deploy/secrets/{name}"));
        let is_made = match name.strip_suffix(".password") {
            Some(user) => {
                maker.contains(&format!(" {user} ")) || maker.contains(&format!(" {user};"))
            }
            None => maker.contains(&format!(">secrets/{name}.new")),
        };
        assert!(is_made, "nobody makes {name}");
    }
    for (name, service) in services(&file) {
        for variable in environment(service).into_keys() {
            assert_ne!(variable, PASSWORD_VARIABLE, "{name}");
            let is_secret = ["PASSWORD", "SECRET", "TOKEN"].iter().any(|it| variable.contains(it));
            assert!(!is_secret || variable.ends_with("_FILE"), "{name}: {variable}");
        }
    }
    for (name, service) in parts(&file) {
        let role = words(&service["command"])[0].clone();
        let mut own = set(&[&format!("{role}.password")]);
        if role == "core" {
            own.insert("bots.seed".to_owned());
        }
        assert_eq!(names(&service["secrets"]), own, "{name}");
    }
    assert!(read(".gitignore").lines().any(|line| line == "/deploy/secrets"));
    assert!(read(".dockerignore").lines().any(|line| line == "deploy"));
}

#[test]
fn edges_reach_no_store_and_clients_reach_the_balancer_alone() {
    let file = compose();
    let networks = |name: &str| names(&file["services"][name]["networks"]);
    for part in ["edge", "files", "integrations", "presence", "push", "search"] {
        assert!(networks(part).is_disjoint(&networks("foundationdb")));
    }
    assert!(networks("balancer").is_disjoint(&networks("core")));
    for (name, service) in services(&file) {
        assert_eq!(service["ports"].is_array(), name == "balancer", "{name}");
    }
}
