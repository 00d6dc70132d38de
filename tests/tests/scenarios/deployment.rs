//! What `deploy/` holds works, with real processes in the place of containers: passwords are made,
//! three nats-servers become a cluster by `nats.sh` and `nats.conf`, a core and an edge serve on it
//! with the files that they are given, and `weft health` says so.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use weft_harness::http;
use weft_harness::process::{Process, Spec};
use weft_harness::system::{Folder, START_LIMIT, free_address, nats_server, weft};
use weft_harness::wait::until;

/// As in `docker-compose.yml`.
const PARTITIONS: &str = "16";

struct Deployment {
    folder: Folder,
    processes: Vec<Process>,
}

/// Where one nats-server listens.
struct Place {
    clients: SocketAddr,
    routes: SocketAddr,
    http: SocketAddr,
}

impl Deployment {
    /// A copy of the folder with its passwords made.
    async fn new() -> Result<Self> {
        let folder = Folder::new()?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for file in ["nats.conf", "nats.sh", "secrets.sh"] {
            std::fs::copy(source.join(file), folder.path().join(file)).context(file)?;
        }
        let made = Command::new("/bin/sh").arg(folder.path().join("secrets.sh")).output().await?;
        ensure!(made.status.success(), "{made:?}");
        Ok(Self { folder, processes: Vec::new() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, user: &str) -> String {
        self.path("secrets").join(format!("{user}.password")).display().to_string()
    }

    fn start(
        &mut self,
        name: &str,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<()> {
        let own = |text: &&str| (*text).to_owned();
        self.processes.push(Process::start(Spec {
            name: name.to_owned(),
            program: program.to_owned(),
            args: args.iter().map(own).collect(),
            env: env.iter().map(|(name, value)| (own(name), own(value))).collect(),
            folder: self.folder.path().to_owned(),
        })?);
        Ok(())
    }

    /// One server, as its container starts it; only its addresses and its folder are others.
    async fn start_server(&mut self, name: &str, place: &Place, routes: &str) -> Result<()> {
        let mut config = std::fs::read_to_string(self.path("nats.conf"))?;
        let store = self.path(&format!("{name}.streams")).display().to_string();
        let here = [place.clients.to_string(), place.routes.to_string()];
        for (there, here) in
            [("0.0.0.0:4222", &here[0]), ("0.0.0.0:6222", &here[1]), ("/data", &store)]
        {
            ensure!(config.contains(&format!("\"{there}\"")), "{there} in {config}");
            config = config.replace(&format!("\"{there}\""), &format!("\"{here}\""));
        }
        let file = self.path(&format!("{name}.conf"));
        std::fs::write(&file, config)?;
        // The script calls it by its name.
        let programs = self.path("bin");
        std::fs::create_dir_all(&programs)?;
        let link = programs.join("nats-server");
        if !link.exists() {
            std::os::unix::fs::symlink(nats_server().await, link)?;
        }
        let path = std::env::var("PATH")?;
        let env = [
            ("PATH", &*format!("{}:{path}", programs.display())),
            ("WEFT_SECRETS", &*self.path("secrets").display().to_string()),
            ("WEFT_NATS_CONFIG", &*file.display().to_string()),
            ("WEFT_NATS_NAME", name),
            ("WEFT_NATS_SERVERS", routes),
        ];
        let script = self.path("nats.sh").display().to_string();
        let port = place.http.port().to_string();
        self.start(name, Path::new("/bin/sh"), &[&script, "--http_port", &port], &env)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployment_serves() -> Result<()> {
    let mut deployment = Deployment::new().await?;
    let place = |_| {
        let (clients, routes, http) = (free_address()?, free_address()?, free_address()?);
        Ok(Place { clients, routes, http })
    };
    let places = (0..3).map(place).collect::<Result<Vec<_>>>()?;
    let joined =
        |of: fn(&Place) -> String, by: &str| places.iter().map(of).collect::<Vec<_>>().join(by);
    let routes = joined(|place| place.routes.to_string(), " ");
    let url = joined(|place| format!("nats://{}", place.clients), ",");
    for (number, place) in (1..).zip(&places) {
        deployment.start_server(&format!("nats-{number}"), place, &routes).await?;
    }
    for place in &places {
        until("a server is healthy", START_LIMIT, async || {
            let path = "/healthz?js-server-only=true";
            let answer = http::call(place.http, "GET", path, None, &Value::Null).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    let named = http::call(places[1].http, "GET", "/varz", None, &Value::Null).await?.body;
    assert_eq!(named["server_name"], "nats-2");
    assert_eq!(named["cluster"]["name"], "weft");

    let store = format!("embedded:{}", deployment.path("store").display());
    let (core, edge) = (deployment.secret("core"), deployment.secret("edge"));
    let common = [("WEFT_NATS_URL", &*url), ("WEFT_PARTITIONS", PARTITIONS)];
    let own = [
        ("WEFT_NODE", "core-{hostname}"),
        ("WEFT_STORE", &*store),
        ("WEFT_REPLICAS", "3"),
        ("WEFT_NATS_PASSWORD_FILE", &*core),
    ];
    deployment.start("core", weft().await, &["core"], &[&common[..], &own].concat())?;
    let listen = free_address()?;
    let address = listen.to_string();
    let own = [("WEFT_LISTEN", &*address), ("WEFT_NATS_PASSWORD_FILE", &*edge)];
    deployment.start("edge", weft().await, &["edge"], &[&common[..], &own].concat())?;
    let ready = format!("http://{address}/readyz");
    until("weft health says that the edge serves", START_LIMIT, async || {
        let asked = Command::new(weft().await).args(["health", &ready]).output().await.ok()?;
        asked.status.success().then_some(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn passwords_are_made_once_and_others_can_not_reach_them() -> Result<()> {
    let deployment = Deployment::new().await?;
    let secrets = deployment.path("secrets");
    let mode = |path: &Path| Ok::<_, std::io::Error>(path.metadata()?.permissions().mode() & 0o777);
    assert_eq!(mode(&secrets)?, 0o700);
    let read = |user: &str| std::fs::read_to_string(deployment.secret(user));
    let before = read("core")?;
    assert!(before.starts_with('w') && before.trim().len() >= 32, "{}", before.len());
    assert_ne!(before, read("edge")?);
    let script = deployment.path("secrets.sh");
    let again = Command::new("/bin/sh").arg(script).output().await?;
    ensure!(again.status.success(), "{again:?}");
    assert_eq!(read("core")?, before);
    // Core's key is known to nats-server as what Weft says that it is.
    let seed = secrets.join("bots.seed").display().to_string();
    let key = Command::new(weft().await).args(["bots-key", "--seed-file", &seed]).output().await?;
    let issuer = std::fs::read_to_string(secrets.join("bots.issuer"))?;
    assert_eq!(String::from_utf8(key.stdout)?.trim_end(), issuer);
    // A container may run as any user, and is given single files.
    assert_eq!(mode(Path::new(&deployment.secret("core")))?, 0o444);
    Ok(())
}

#[tokio::test]
async fn a_password_that_nats_server_would_not_take_is_named_before_it_starts() -> Result<()> {
    let deployment = Deployment::new().await?;
    let started = async || {
        let mut script = Command::new("/bin/sh");
        script.arg(deployment.path("nats.sh")).env("WEFT_SECRETS", deployment.path("secrets"));
        script.env("WEFT_NATS_NAME", "nats-1").env("WEFT_NATS_SERVERS", "nats-1:6222");
        // Nothing but the script's own tools: it has to end before it looks for a server.
        let output = script.env("PATH", "/usr/bin:/bin").output().await?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = PathBuf::from(deployment.secret("core"));
    for bad in ["7starts-with-a-digit", "two words", "a\"quote", "a$variable", ""] {
        // What is there can only be read.
        std::fs::remove_file(&file)?;
        std::fs::write(&file, format!("{bad}\n"))?;
        let said = started().await?;
        assert!(said.contains("core.password: a password begins with a letter"), "{bad}: {said}");
        assert!(said.contains("deploy/secrets.sh"), "{said}");
        assert!(bad.is_empty() || !said.contains(bad), "{said}");
    }
    std::fs::remove_dir_all(deployment.path("secrets"))?;
    let said = started().await?;
    assert!(said.contains("deploy/secrets.sh"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_balancer_starts_with_the_open_files_that_it_may_have_and_says_so() -> Result<()> {
    let folder = Folder::new()?;
    let program = folder.path().join("haproxy");
    std::fs::write(&program, "#!/bin/sh\necho started \"$@\"\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let script = deploy.join("haproxy.sh").display().to_string();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH")?);
    let config = folder.path().join("haproxy.cfg");
    let said_with = async |wanted: &str| {
        let kept = std::fs::read_to_string(deploy.join("haproxy.cfg"))?;
        std::fs::write(&config, kept.replace("fd-hard-limit 200100", wanted))?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "ulimit -n 1024 && exec /bin/sh \"$0\"", &script]);
        shell.env("PATH", &path).env("WEFT_HAPROXY_CONFIG", &config);
        let output = shell.output().await?;
        let started = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(started.trim(), format!("started -W -db -f {}", config.display()));
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let said = said_with("fd-hard-limit 200100").await?;
    assert!(said.contains("allows 1024 open files, 200100 are wanted"), "{said}");
    assert!(said.contains("default-ulimits"), "{said}");
    assert_eq!(said_with("fd-hard-limit 1024").await?, "");
    Ok(())
}

#[tokio::test]
async fn the_servers_configuration_is_what_weft_prints() -> Result<()> {
    let args = ["nats-config", "--cluster", "weft", "--host", "0.0.0.0", "--no-advertise"];
    let printed =
        Command::new(weft().await).args(args).args(["--partitions", PARTITIONS]).output().await?;
    ensure!(printed.status.success(), "{printed:?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats.conf");
    let kept = std::fs::read_to_string(file)?;
    let printed = String::from_utf8(printed.stdout)?;
    assert!(kept.ends_with(&printed), "deploy/nats.conf says how to make it anew");
    Ok(())
}
