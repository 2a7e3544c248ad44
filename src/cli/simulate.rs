//! `apgit simulate`: the simulated tenant on a loopback port, until somebody
//! stops it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Stop;
use crate::render::Look;
use crate::sim::{self, Certificates, Script, Server, Speed, StateError, StateFile, Switch, Tenant, Tenants};

use super::error::CliError;
use super::exit::Exit;
use super::file;
use super::settings::{Settings, print};

/// How the tenant begins and behaves, and where it listens.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SimulateArgs {
    /// Loopback address and port to listen on; port 0 takes a free one, which `--ready-file` and `--json` tell
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8800")]
    pub listen: SocketAddr,
    /// Registrations that a new tenant begins with, at most 500000; of several tenants, the first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=DEVICES_MAX))]
    pub devices: u32,
    /// Seed of a new tenant: the same seed, the same story
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// How the tenant behaves: calm, busy or hostile
    #[arg(long, value_name = "NAME", default_value = "busy")]
    pub profile: String,
    /// How virtual time passes: realtime (a new tenant begins now), virtual seconds per second, or instant (it stands still until it is moved)
    #[arg(long, value_name = "SPEED", default_value = "realtime")]
    pub speed: Speed,
    /// File that keeps the tenant between runs; one simulator at a time
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Change one setting, for example import.delay=45s..100s (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Turn a switch on top of the profile, for example no-filter (repeatable, or with commas)
    #[arg(long = "switch", value_name = "NAME", value_delimiter = ',')]
    pub switch: Vec<Switch>,
    /// YAML file of settings; --switch and --set come after it
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// YAML file of what others do to the (first) tenant, and when
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Domain of a tenant, with its id if it matters: contoso.com=GUID (repeatable: several tenants know each other's hardware)
    #[arg(long = "domain", value_name = "DOMAIN[=ID]")]
    pub domain: Vec<Named>,
    /// Speak TLS too, and write the certificate of the authority that clients must trust
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "simulated-ca.pem")]
    pub tls: Option<PathBuf>,
    /// Answer CONNECT for Microsoft's login and Graph hosts, and refuse all others; implies --tls
    #[arg(long)]
    pub proxy: bool,
    /// Write the address to FILE once it listens, and remove FILE at the end; a FILE that is there and says anything else is refused
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Say where and how on one line of JSON, instead of in words
    #[arg(long)]
    pub json: bool,
}

/// A mistyped number must not take all of this machine's memory: this many
/// need about a gigabyte.
const DEVICES_MAX: i64 = 500_000;

/// What a tenant goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub domain: String,
    pub id: Option<uuid::Uuid>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, id) = match text.split_once('=') {
            Some((domain, id)) => (domain, Some(id.parse().map_err(|_| format!("`{id}` is not the id of a tenant"))?)),
            None => (text, None),
        };
        let domain = domain.trim().to_lowercase();
        if domain.is_empty() {
            return Err("there is no domain in it; write `contoso.com` or `contoso.com=ID`".to_owned());
        }
        // It stands in addresses, and behind the @ of a user.
        let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-');
        if !domain.chars().all(fits) || domain.starts_with('.') || domain.ends_with('.') || domain.contains("..") {
            return Err(format!("`{domain}` is not a domain such as `contoso.com`"));
        }
        if ALIASES.contains(&domain.as_str()) || domain.parse::<uuid::Uuid>().is_ok() {
            return Err(format!("`{domain}` is no domain of a tenant's own; write one such as `contoso.com`"));
        }
        Ok(Self { domain, id })
    }
}

/// What a login takes for any tenant.
const ALIASES: [&str; 3] = ["common", "organizations", "consumers"];

/// Serves until somebody asks to stop, then saves.
///
/// # Errors
/// When a setting, the address or the state file cannot be used.
pub(super) async fn run(args: &SimulateArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    check_files(args)?;
    let ready = args.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let server = bind(args).await?;
    // Whoever starts us waits for the first line, and having read it they may
    // hang up.
    let greeting =
        if args.json { document(&server, args).to_string() } else { greeting(&server, args, &settings.look) };
    print(&format!("{greeting}\n"))?;
    let _told = ready.map(|ready| ready.write(&server)).transpose()?;
    server.run(stop.asked()).await.map_err(failed)?;
    Ok(Exit::Done)
}

/// The file that tells a script where the tenant is; gone when that is.
struct ReadyFile<'a> {
    path: &'a Path,
    /// Empty until it is written.
    says: String,
}

impl<'a> ReadyFile<'a> {
    /// Removes what an earlier run left: it would lead its reader to a port
    /// that is shut. What nobody can write is known before anybody is greeted.
    fn prepare(path: &'a Path) -> Result<Self, CliError> {
        Self::expect_nobody(path)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(CliError::file("remove", path, &error)),
            _ => {}
        }
        Self::beside(path).map_err(|error| CliError::file("write", path, &error))?;
        Ok(Self { path, says: String::new() })
    }

    /// A file that leads to somebody who listens is not ours to take: whoever
    /// waits for the other would find us.
    fn expect_nobody(path: &Path) -> Result<(), CliError> {
        let Some((says, address)) = Self::found(path)? else { return Ok(()) };
        if TcpStream::connect_timeout(&address, LISTENS_WITHIN).is_err() {
            return Ok(());
        }
        let message = format!("`{}` leads to `{says}`, where somebody listens", path.display());
        let hint = "end that simulator, or take another file; if it is none, delete the file";
        Err(CliError::new(Exit::Later, message).hint(hint))
    }

    /// The address that an earlier run left. A file that says anything else is
    /// somebody's, and would be lost.
    fn found(path: &Path) -> Result<Option<(String, SocketAddr)>, CliError> {
        let there = match std::fs::metadata(path) {
            Ok(there) => there,
            // A link to nothing is nobody's text.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::file("read", path, &error)),
        };
        if there.is_file() && there.len() == 0 {
            // A file that was made to have a name: nothing is lost with it.
            return Ok(None);
        }
        let is_short = there.is_file() && there.len() <= ADDRESS_MAX;
        let text = if is_short { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        let address = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')).and_then(|says| {
            let address = says.strip_prefix("http://").or_else(|| says.strip_prefix("https://"))?;
            Some((says.to_owned(), address.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback())?))
        });
        if address.is_some() {
            return Ok(address);
        }
        let message = format!("`{}` is there, and is not the address of a simulator: it would be lost", path.display());
        Err(CliError::new(Exit::Usage, message).hint("name another file as `--ready-file`, or delete that one"))
    }

    /// What is to take the file's place. Errors do not name it: nobody has
    /// heard of it.
    fn beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .make_in(file::folder_of(path), |path| OpenOptions::new().write(true).create_new(true).open(path))
    }

    /// Whoever finds it finds a whole line in it.
    fn write(mut self, server: &Server) -> Result<Self, CliError> {
        Self::expect_nobody(self.path)?;
        self.says = format!("{}\n", address(server));
        let written = Self::beside(self.path).and_then(|mut file| {
            file.write_all(self.says.as_bytes())?;
            file.persist(self.path).map_err(|error| error.error)
        });
        written.map_err(|error| CliError::file("write", self.path, &error))?;
        Ok(self)
    }
}

impl Drop for ReadyFile<'_> {
    fn drop(&mut self) {
        // Somebody else may have taken it meanwhile.
        if !self.says.is_empty() && std::fs::read_to_string(self.path).is_ok_and(|says| says == self.says) {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// No address is longer.
const ADDRESS_MAX: u64 = 100;

/// Loopback answers at once, if there is anybody.
const LISTENS_WITHIN: Duration = Duration::from_secs(1);

/// One file cannot be two things: what is written as one would be lost as the
/// other.
fn check_files(args: &SimulateArgs) -> Result<(), CliError> {
    let named = [
        ("--state", args.state.as_deref()),
        ("--script", args.script.as_deref()),
        ("--settings", args.settings.as_deref()),
        ("--tls", authority_file(args)),
        ("--ready-file", args.ready_file.as_deref()),
    ];
    let mut before: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in named.into_iter().filter_map(|(option, path)| Some((option, path?))) {
        let place = place_of(path);
        if let Some((other, _)) = before.iter().find(|(_, other)| *other == place) {
            let message = format!("`{}` is both `{other}` and `{option}`", path.display());
            return Err(CliError::new(Exit::Usage, message).hint("name a file of its own for each"));
        }
        before.push((option, place));
    }
    Ok(())
}

/// Where a path leads, whether or not there is anything yet.
fn place_of(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Ok(place) = path.canonicalize() {
            return place;
        }
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = file::folder_of(&path).join(target);
    }
    // Some of its folders may have to be made first.
    let absolute = std::path::absolute(&path).unwrap_or(path);
    let there = absolute.ancestors().skip(1).find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, place)) = there else { return absolute };
    absolute.strip_prefix(above).map_or_else(|_| absolute.clone(), |rest| place.join(rest))
}

/// Links that lead to each other lead nowhere.
const LINKS_MAX: usize = 40;

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::new(Exit::Failed, error.to_string())
}

/// What was typed, or written, is not understood.
fn mistaken(error: impl std::fmt::Display) -> CliError {
    CliError::new(Exit::Usage, error.to_string())
}

async fn bind(args: &SimulateArgs) -> Result<Server, CliError> {
    check_domains(&args.domain)?;
    let settings = settings(args)?;
    let script = args.script.as_deref().map(script).transpose()?;
    let new = || {
        let mut tenants = new_tenants(&settings, args);
        // A tenant that goes on has its script in its state.
        if let Some(script) = &script {
            tenants.first().play(script);
        }
        tenants
    };
    let (tenants, file) = match &args.state {
        Some(path) => {
            let mut file = StateFile::lock(path).map_err(unavailable)?;
            let mut tenants = Tenants::open(path, &settings, new).map_err(failed)?;
            only_those_that_are_there(&mut tenants, args, path)?;
            // Better to fail here than after the first change.
            file.keep_whole(&mut tenants).map_err(failed)?;
            (tenants, Some(file))
        }
        None => (new(), None),
    };
    let mut server = Server::bind(args.listen, tenants, args.speed).await.map_err(failed)?;
    if let Some(file) = file {
        server = server.keeping(file);
    }
    if let Some(path) = authority_file(args) {
        let certificates = Certificates::generate().map_err(failed)?;
        file::write(path, certificates.authority_pem())?;
        server = server.with_tls(certificates);
    }
    Ok(if args.proxy { server.as_proxy() } else { server })
}

fn unavailable(error: StateError) -> CliError {
    let exit = match error {
        StateError::InUse { .. } => Exit::Later,
        StateError::NoFile { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    CliError::new(exit, error.to_string())
}

/// Each domain and each id leads to one tenant.
fn check_domains(all: &[Named]) -> Result<(), CliError> {
    for (number, one) in all.iter().enumerate() {
        let before = &all[..number];
        if before.iter().any(|other| other.domain == one.domain) {
            return Err(failed(format!("the domain `{}` is there twice", one.domain)).hint("leave one `--domain` out"));
        }
        if let Some(id) = one.id
            && let Some(other) = before.iter().find(|other| other.id == one.id)
        {
            return Err(failed(format!("`{}` and `{}` have the same id `{id}`", other.domain, one.domain))
                .hint("a tenant has an id of its own; without one it gets one"));
        }
    }
    Ok(())
}

/// A tenant goes on under the names that it has: others cannot be given to it.
fn only_those_that_are_there(tenants: &mut Tenants, args: &SimulateArgs, path: &Path) -> Result<(), CliError> {
    for named in &args.domain {
        let there = tenants.named(&named.domain).map(|tenant| tenant.id());
        if there.is_none() || named.id.is_some_and(|id| there != Some(id)) {
            let names: Vec<String> = tenants.each().flat_map(|tenant| tenant.names()).collect();
            let (path, names) = (path.display(), names.join("`, `"));
            return Err(failed(format!("`{path}` does not hold the tenant `{}`, but `{names}`", named.domain))
                .hint("leave `--domain` out, or take another file"));
        }
    }
    Ok(())
}

fn settings(args: &SimulateArgs) -> Result<sim::Settings, CliError> {
    let mut settings = sim::Settings::named(&args.profile).map_err(mistaken)?;
    if let Some(path) = &args.settings {
        settings.read_yaml(&read(path)?).map_err(|error| mistaken(format!("in `{}`: {error}", path.display())))?;
    }
    settings = args.switch.iter().fold(settings, |settings, switch| settings.switched(*switch));
    for assignment in &args.set {
        settings.set(assignment).map_err(mistaken)?;
    }
    Ok(settings)
}

/// What others do to a tenant, and when.
pub(super) fn script(path: &Path) -> Result<Script, CliError> {
    Script::read(&read(path)?).map_err(|error| mistaken(format!("in `{}`: {error}", path.display())))
}

fn new_tenants(settings: &sim::Settings, args: &SimulateArgs) -> Tenants {
    // In real time, a tenant of months ago would have to catch up first.
    let begins = match args.speed {
        Speed::Realtime => Timestamp::now(),
        Speed::Times(_) | Speed::Instant => sim::EPOCH,
    };
    let named = |(number, named): (u64, &Named)| {
        let mut settings = settings.clone();
        settings.directory.domains = vec![named.domain.clone()];
        settings.directory.display_name = format!("{} (simulated)", named.domain);
        let mut tenant = Tenant::new(settings.clone(), args.seed.wrapping_add(number), begins);
        if let Some(id) = named.id {
            tenant = tenant.with_id(id);
        }
        // Whoever has a name answers to no other.
        settings.login.tenants = tenant.names();
        tenant.set_settings(settings);
        tenant
    };
    let mut all = (0..).zip(&args.domain).map(named);
    let mut first = all.next().unwrap_or_else(|| Tenant::new(settings.clone(), args.seed, begins));
    first.add_devices(args.devices as usize);
    all.fold(Tenants::from(first), Tenants::and)
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, &error))
}

fn authority_file(args: &SimulateArgs) -> Option<&Path> {
    let default = args.proxy.then_some(Path::new("simulated-ca.pem"));
    args.tls.as_deref().or(default)
}

/// The address for clients that take either: TLS where there is TLS.
fn address(server: &Server) -> String {
    server.secure_url().unwrap_or_else(|| server.url())
}

/// What a script wants to know, as one line.
fn document(server: &Server, args: &SimulateArgs) -> Value {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let tenants: Vec<Value> = server
        .tenant()
        .with_all(|tenants| tenants.each().map(|tenant| json!({"id": tenant.id(), "names": tenant.names()})).collect());
    json!({
        "address": address(server),
        "http": server.url(),
        "https": server.secure_url(),
        "authorityFile": authority_file(args).map(absolute),
        "clientSecret": sim::CLIENT_SECRET,
        "proxy": args.proxy,
        "speed": args.speed.factor(),
        "now": server.tenant().now(),
        "tenants": tenants,
    })
}

/// Where the words of a greeting begin, behind what they are called.
const WORDS: usize = 11;

/// What stdout says: where, with which secret, and how to begin. The first
/// line is for whoever waits for the address.
fn greeting(server: &Server, args: &SimulateArgs, look: &Look) -> String {
    let (plain, secret) = (server.url(), sim::CLIENT_SECRET);
    let domains = server.tenant().with_all(|tenants| {
        let named = tenants.each().filter(|tenant| !tenant.settings().login.tenants.is_empty());
        named.filter_map(|tenant| tenant.settings().directory.domains.first().cloned()).collect::<Vec<_>>()
    });
    let users = server.tenant().with_all(|tenants| {
        tenants.each().flat_map(|tenant| tenant.settings().directory.domains.clone()).collect::<Vec<_>>()
    });
    let whom = if domains.is_empty() { "any tenant".to_owned() } else { format!("tenant {}", domains.join(" or ")) };
    let said = |label: &str, words: &str| format!("  {label:<8} {}", look.hang(words, WORDS));
    let typed = |label: &str, command: &str| format!("  {label:<8} {}", look.typed(command, WORDS));
    let mut lines = vec![
        format!("simulated tenant at {}", address(server)),
        said("sign in", &format!("client secret {secret}, any client id, {whom}")),
        said("users", &format!("of {}; `--domain` names others", users.join(", "))),
    ];
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let authority = authority_file(args).map(absolute);
    match authority {
        Some(file) if args.proxy => {
            let variables = format!("SSL_CERT_FILE={file} REQUESTS_CA_BUNDLE={file} NODE_EXTRA_CA_CERTS={file}");
            lines.extend([
                said("proxy", "for Microsoft's login and Graph hosts, and for no others:"),
                typed("", &format!("export HTTPS_PROXY={plain} {variables}")),
            ]);
        }
        Some(file) => lines.push(said("trust", &format!("{file}; plain http works as well"))),
        None => {}
    }
    if args.speed == Speed::Instant {
        // Without a blank in it: a shell would break the text there, too.
        let command = format!("curl -d '{{\"by\":\"10m\"}}' {plain}/_sim/advance");
        lines.extend([said("time", "stands still until it is moved:"), typed("", &command)]);
    }
    let domain = domains.first().map_or("contoso.com", String::as_str);
    let endpoints = format!("endpoints: {{login: \"{plain}\", graph: \"{plain}\"}}");
    let token = format!(
        "curl -d grant_type=client_credentials -d client_id=me -d client_secret={secret} \
         -d scope={plain}/.default {plain}/{domain}/oauth2/v2.0/token"
    );
    lines.extend([said("apgit", &format!("{endpoints}, in the spec of the AutopilotTenant")), typed("curl", &token)]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> SimulateArgs {
        SimulateArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            devices: 3,
            seed: 1,
            profile: "calm".to_owned(),
            speed: Speed::Instant,
            state: None,
            set: Vec::new(),
            switch: Vec::new(),
            settings: None,
            script: None,
            domain: Vec::new(),
            tls: None,
            proxy: false,
            ready_file: None,
            json: false,
        }
    }

    #[tokio::test]
    async fn a_new_tenant_begins_with_the_devices_that_were_asked_for() {
        let server = bind(&args()).await.unwrap();
        assert_eq!(server.tenant().with(|tenant| tenant.registrations().len()), 3);
        let first = format!("simulated tenant at http://{}\n", server.address());
        assert!(greeting(&server, &args(), &Look::default()).starts_with(&first));
    }

    #[tokio::test]
    async fn a_saved_tenant_goes_on_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let state = Some(folder.path().join("tenant.json"));
        let fabrikam = SimulateArgs { state: state.clone(), domain: vec!["fabrikam.com".parse().unwrap()], ..args() };
        assert!(
            greeting(&bind(&fabrikam).await.unwrap(), &fabrikam, &Look::default())
                .contains("any client id, tenant fabrikam.com")
        );
        let again = SimulateArgs { state: state.clone(), ..args() };
        assert!(
            greeting(&bind(&again).await.unwrap(), &again, &Look::default())
                .contains("any client id, tenant fabrikam.com")
        );
        let other = SimulateArgs { state, domain: vec!["contoso.com".parse().unwrap()], ..args() };
        let refused = bind(&other).await.err().expect("another tenant").to_string();
        assert!(refused.contains("does not hold the tenant `contoso.com`"), "{refused}");
        let nowhere = SimulateArgs { state: Some(folder.path().join("tenant.json/state")), ..args() };
        let refused = bind(&nowhere).await.err().expect("a file is no folder").to_string();
        assert_eq!(refused.matches("os error").count(), 1, "{refused}");
    }

    #[tokio::test]
    async fn an_address_that_others_could_reach_is_refused() {
        let refused = bind(&SimulateArgs { listen: "0.0.0.0:0".parse().unwrap(), ..args() }).await;
        let message = refused.err().expect("not loopback").to_string();
        assert!(message.starts_with("`0.0.0.0:0` is not a loopback address"), "{message}");
    }

    #[tokio::test]
    async fn a_setting_that_does_not_exist_is_refused() {
        let refused = bind(&SimulateArgs { set: vec!["import.dely=1s".to_owned()], ..args() }).await;
        assert!(refused.err().expect("no such setting").to_string().contains("`dely` is not known"));
        let refused = bind(&SimulateArgs { profile: "wild".to_owned(), ..args() }).await;
        assert!(refused.err().expect("no such profile").to_string().contains("no profile `wild`"));
    }

    #[tokio::test]
    async fn a_proxy_says_where_it_is_and_what_to_trust() {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        let args = SimulateArgs { tls: Some(authority.clone()), proxy: true, ..args() };
        let server = bind(&args).await.unwrap();
        let (said, address) = (greeting(&server, &args, &Look::default()), server.address());
        assert_eq!(said.lines().next(), Some(format!("simulated tenant at https://{address}").as_str()));
        let export = format!("export HTTPS_PROXY=http://{address} SSL_CERT_FILE={}", authority.display());
        assert!(said.contains(&export), "{said}");
        assert!(std::fs::read_to_string(authority).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[tokio::test]
    async fn settings_come_from_profile_file_switches_and_words_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.yaml");
        std::fs::write(&file, "import.delay: 1m\nlist: {page_size: 7}").unwrap();
        let set = vec!["list.page_size=9".to_owned()];
        let switch = vec!["no-filter".parse().unwrap()];
        let server = bind(&SimulateArgs { settings: Some(file), set, switch, ..args() }).await.unwrap();
        server.tenant().with(|tenant| {
            let list = &tenant.settings().list;
            assert_eq!((list.page_size, list.contains), (9, false));
            assert_eq!(tenant.settings().import.delay.to_string(), "1m");
        });
    }

    #[tokio::test]
    async fn several_tenants_have_names_and_ids() {
        let id = "0c9be9b6-1b2f-4c0f-9d4a-000000000001";
        let domain = vec!["Contoso.com".parse().unwrap(), format!("fabrikam.com={id}").parse().unwrap()];
        let server = bind(&SimulateArgs { domain, ..args() }).await.unwrap();
        server.tenant().with_all(|tenants| {
            assert_eq!(tenants.named("fabrikam.com").unwrap().id().to_string(), id);
            assert_eq!(tenants.named("contoso.com").unwrap().registrations().len(), 3);
        });
        assert!("contoso.com=7".parse::<Named>().is_err());
    }

    #[tokio::test]
    async fn a_tenant_is_kept_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let kept = SimulateArgs { state: Some(folder.path().join("tenant.json")), ..args() };
        bind(&kept).await.unwrap().run(std::future::ready(())).await.unwrap();
        let again = bind(&SimulateArgs { devices: 99, ..kept }).await.unwrap();
        assert_eq!(again.tenant().with(|tenant| tenant.registrations().len()), 3);
    }
}
