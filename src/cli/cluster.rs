//! `apgit cluster`, and the same as `kubectl apgit`: what people ask of an operator.
//! Everything is done through objects, with the rights of whoever asks.

use std::io::{stderr, stdin};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};

use crate::clock::Stop;
use crate::ledger::said_by_cluster;
use crate::render::style::{Role, counted};
use crate::resource::{
    AutopilotPlan, AutopilotPlanApproval, AutopilotPlanApprovalSpec, AutopilotTenant, Condition, LocalRef,
    PlannedChange, PlannedField, REQUESTED_AT,
};

use super::error::CliError;
use super::exit::Exit;
use super::prompt;
use super::settings::{Settings, print, tell};

/// Between two looks at an object that is waited for.
const LOOK: Duration = Duration::from_millis(500);

/// Which cluster, and what to do there.
#[derive(Debug, Clone, Args)]
pub(super) struct ClusterArgs {
    /// The namespace of the tenant [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAMESPACE", help_heading = "Cluster")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// The kubeconfig [default: what `KUBECONFIG` names, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<std::path::PathBuf>,
    #[command(subcommand)]
    pub ask: Ask,
}

/// What is asked of an operator.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Ask {
    /// Show where the tenants of a namespace stand
    Status(Which),
    /// Show the plan that waits for an approval
    Plan(Which),
    /// Approve the plan that waits, by an approval of its digest
    Approve(ApproveArgs),
    /// Have the tenant read and reconciled now
    Reconcile(ReconcileArgs),
    /// Have the tenant left alone
    Suspend(Which),
    /// Have the tenant reconciled again
    Resume(Which),
}

/// Which tenant.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// The tenant's name [default: the only one of the namespace]
    #[arg(value_name = "TENANT")]
    pub tenant: Option<String>,
}

/// What is approved, and for how long.
#[derive(Debug, Clone, Args)]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    pub which: Which,
    /// The digest that was looked at, so that nobody is asked; of another plan, nothing is approved
    #[arg(long, value_name = "SHA256")]
    pub digest: Option<String>,
    /// For how many minutes the approval counts
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub minutes: u32,
}

/// Whether the answer is waited for.
#[derive(Debug, Clone, Args)]
pub(super) struct ReconcileArgs {
    #[command(flatten)]
    pub which: Which,
    /// For how many seconds the operator's answer is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait_seconds: u32,
}

/// # Errors
/// When the cluster cannot be reached or says no, or when there is no such tenant.
pub(super) async fn run(args: &ClusterArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let cluster = Cluster::reach(args).await?;
    match &args.ask {
        Ask::Status(which) => cluster.status(which, settings).await,
        Ask::Plan(which) => {
            let tenant = cluster.tenant(which).await?;
            match cluster.waiting(&tenant.name_any()).await? {
                Some(plan) => print(&text(&plan, settings))?,
                None => tell("no plan waits for an approval\n"),
            }
            Ok(Exit::Done)
        }
        Ask::Approve(args) => cluster.approve(args, settings).await,
        Ask::Reconcile(args) => cluster.reconcile(args, stop).await,
        Ask::Suspend(which) => cluster.suspend(which, true).await,
        Ask::Resume(which) => cluster.suspend(which, false).await,
    }
}

/// A namespace of a cluster.
struct Cluster {
    client: Client,
    namespace: String,
}

fn failed(what: &str, error: &kube::Error) -> CliError {
    let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
    let exit = if code == 403 { Exit::Denied } else { Exit::Failed };
    let failed = CliError::new(exit, format!("{what}: {}", said_by_cluster(error)));
    if code == 404 { failed.hint("are the definitions of `apgit crds` in the cluster?") } else { failed }
}

impl Cluster {
    async fn reach(args: &ClusterArgs) -> Result<Self, CliError> {
        // Two of us speak TLS, and there is one provider in a process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nowhere = |error: &dyn std::fmt::Display| {
            CliError::new(Exit::Failed, format!("there is no way to a cluster: {error}"))
                .hint("name a kubeconfig with --kubeconfig or `KUBECONFIG`")
        };
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = match &args.kubeconfig {
            Some(file) => {
                let known = Kubeconfig::read_from(file).map_err(|error| nowhere(&error))?;
                Config::from_custom_kubeconfig(known, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let config = config.map_err(|error| nowhere(&error))?;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| nowhere(&error))?;
        Ok(Self { client, namespace })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn tenants(&self) -> Result<Vec<AutopilotTenant>, CliError> {
        let all = self.api::<AutopilotTenant>().list(&ListParams::default()).await;
        Ok(all.map_err(|error| failed("the tenants cannot be listed", &error))?.items)
    }

    async fn tenant(&self, which: &Which) -> Result<AutopilotTenant, CliError> {
        let all = self.tenants().await?;
        let names: Vec<String> = all.iter().map(|tenant| format!("`{}`", tenant.name_any())).collect();
        let are = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        let wanted = |tenant: &AutopilotTenant| which.tenant.as_ref().is_none_or(|name| *name == tenant.name_any());
        let mut found = all.into_iter().filter(wanted);
        let (first, more) = (found.next(), found.next());
        let whose = &self.namespace;
        match (first, more) {
            (Some(tenant), None) => Ok(tenant),
            (Some(_), Some(_)) => {
                Err(CliError::new(Exit::Usage, format!("the namespace `{whose}` has several tenants"))
                    .hint(format!("name one: {are}")))
            }
            (None, _) => {
                Err(CliError::new(Exit::Usage, format!("the namespace `{whose}` has no such AutopilotTenant"))
                    .hint(format!("{are}; another namespace is named with -n")))
            }
        }
    }

    /// The plan that waits for an approval.
    async fn waiting(&self, tenant: &str) -> Result<Option<AutopilotPlan>, CliError> {
        let all = self.api::<AutopilotPlan>().list(&ListParams::default()).await;
        let all = all.map_err(|error| failed("the plans cannot be listed", &error))?.items;
        let is_waiting = |plan: &AutopilotPlan| {
            let conditions = plan.status.iter().flat_map(|status| &status.conditions);
            let reason = reason(conditions);
            plan.spec.tenant_ref.name == tenant && matches!(reason, "ApprovalRequired" | "ObserveOnly" | "Suspended")
        };
        Ok(all.into_iter().find(is_waiting))
    }

    async fn status(&self, which: &Which, settings: &Settings) -> Result<Exit, CliError> {
        let tenants = match &which.tenant {
            Some(_) => vec![self.tenant(which).await?],
            None => self.tenants().await?,
        };
        if tenants.is_empty() {
            tell(&format!("no AutopilotTenant in the namespace `{}`\n", self.namespace));
        }
        for tenant in tenants {
            let (name, status) = (tenant.name_any(), tenant.status.clone().unwrap_or_default());
            let look = &settings.look;
            let ready = Condition::among(&status.conditions, "Ready");
            let said = ready.map_or("not reconciled yet", |of| of.message.as_str());
            let reason = reason(&status.conditions);
            let mut lines = vec![format!("{} {reason}: {said}", look.paint(Role::Heading, &look.show(&name)))];
            if let Some(of) = status.devices {
                let counts = format!("{} ready, {} in progress, {} held", of.ready, of.in_progress, of.held);
                lines.push(format!("  {} declared: {counts}", of.declared));
            }
            if tenant.spec.suspend == Some(true) {
                lines.push("  suspended: nothing is written".to_owned());
            }
            lines.extend(status.last_plan.iter().map(|plan| format!("  last plan: {plan}")));
            if let Some(plan) = self.waiting(&name).await? {
                lines.push(format!("  waits: {}   {}", plan.spec.summary, look.show(&plan.spec.glance)));
            }
            lines.extend(status.problems.iter().map(|problem| format!("  {}", look.show(problem))));
            print(&(lines.join("\n") + "\n"))?;
        }
        Ok(Exit::Done)
    }

    async fn approve(&self, args: &ApproveArgs, settings: &Settings) -> Result<Exit, CliError> {
        let tenant = self.tenant(&args.which).await?;
        let name = tenant.name_any();
        let Some(plan) = self.waiting(&name).await? else {
            return Err(CliError::new(Exit::Stale, "no plan waits for an approval"));
        };
        let digest = &plan.spec.digest;
        match &args.digest {
            Some(given) if given.trim_start_matches("sha256:") == digest => {}
            Some(given) if given.trim_start_matches("sha256:").len() != digest.len() => {
                return Err(CliError::new(Exit::Usage, "a digest has 64 digits, and nobody approves a part of one")
                    .hint(format!("kubectl apgit plan {name} -n {} shows it", self.namespace)));
            }
            Some(_) => {
                return Err(CliError::new(Exit::Stale, "another plan waits by now, so nothing is approved").hint(
                    format!("look at it (kubectl apgit plan {name} -n {}): its digest is {digest}", self.namespace),
                ));
            }
            None if !settings.interactive => {
                return Err(CliError::new(Exit::Usage, "nobody can be asked here")
                    .hint("look at the plan, and give its digest with --digest"));
            }
            None => {
                tell(&text(&plan, settings));
                let question = prompt::Question {
                    tenant: name.clone(),
                    real_name: None,
                    tenant_id: tenant.spec.tenant_id.clone(),
                    changes: plan.spec.changes.len(),
                    syncs: false,
                    clean_up: 0,
                    simulated: false,
                };
                let ask = move || prompt::consent_to("Approve this", &question, &mut stdin().lock(), &mut stderr());
                let answer = tokio::task::spawn_blocking(ask).await;
                if !matches!(answer, Ok(Ok(true))) {
                    return Err(CliError::new(Exit::Blocked, "not approved"));
                }
            }
        }
        let expires_at = Timestamp::now() + SignedDuration::from_mins(args.minutes.into());
        let mut approval = AutopilotPlanApproval::new(
            "",
            AutopilotPlanApprovalSpec {
                tenant_ref: Some(LocalRef { name: name.clone() }),
                digest: digest.clone(),
                counts: None,
                expires_at: Timestamp::from_second(expires_at.as_second()).unwrap_or(expires_at).to_string(),
            },
        );
        approval.metadata.name = None;
        approval.metadata.generate_name = Some(format!("approve-{}-", &digest[..12]));
        let made = self.api::<AutopilotPlanApproval>().create(&PostParams::default(), &approval).await;
        let made = made.map_err(|error| failed("the approval cannot be made", &error))?;
        print(&format!("autopilotplanapproval/{} until {}\n", made.name_any(), made.spec.expires_at))?;
        Ok(Exit::Done)
    }

    async fn change(&self, name: &str, change: &Value) -> Result<AutopilotTenant, CliError> {
        let changed = self.api().patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        changed.map_err(|error| failed(&format!("the tenant `{name}` cannot be changed"), &error))
    }

    async fn reconcile(&self, args: &ReconcileArgs, stop: &Stop) -> Result<Exit, CliError> {
        let name = self.tenant(&args.which).await?.name_any();
        let asked = Timestamp::now().to_string();
        self.change(&name, &json!({"metadata": {"annotations": {REQUESTED_AT: asked}}})).await?;
        let until = Instant::now() + Duration::from_secs(args.wait_seconds.into());
        let api = self.api::<AutopilotTenant>();
        while Instant::now() < until && !stop.is_asked() {
            let tenant = api.get(&name).await.map_err(|error| failed("the tenant cannot be read", &error))?;
            let status = tenant.status.unwrap_or_default();
            if status.last_handled_reconcile_at.as_deref() == Some(&asked) {
                let ready = Condition::among(&status.conditions, "Ready");
                print(&format!("{name} {}\n", ready.map_or("", |of| of.message.as_str())))?;
                return Ok(Exit::Done);
            }
            tokio::time::sleep(LOOK).await;
        }
        if args.wait_seconds == 0 {
            return Ok(Exit::Done);
        }
        let message = format!("no operator has answered within {} s", args.wait_seconds);
        Err(CliError::new(Exit::Later, message).hint("is it running, and is this one of its namespaces?"))
    }

    async fn suspend(&self, which: &Which, suspends: bool) -> Result<Exit, CliError> {
        let name = self.tenant(which).await?.name_any();
        let value = if suspends { json!(true) } else { Value::Null };
        self.change(&name, &json!({"spec": {"suspend": value}})).await?;
        let now = if suspends { "is suspended: nothing is written to it" } else { "is reconciled again" };
        print(&format!("{name} {now}\n"))?;
        tell("where Git declares the tenant, `spec.suspend` has to stand there too, or it is set back\n");
        Ok(Exit::Done)
    }
}

fn reason<'c>(conditions: impl IntoIterator<Item = &'c Condition>) -> &'c str {
    Condition::among(conditions, "Ready").map_or("", |of| of.reason.as_str())
}

/// A plan as people read it.
fn text(plan: &AutopilotPlan, settings: &Settings) -> String {
    let (look, spec) = (&settings.look, &plan.spec);
    let conditions = plan.status.iter().flat_map(|status| &status.conditions);
    let mut lines = vec![format!(
        "{}   {} ({}), read {}",
        look.paint(Role::Heading, &look.show(&plan.name_any())),
        look.show(&spec.tenant_ref.name),
        spec.policy,
        spec.observed_at
    )];
    lines.push(String::new());
    lines.extend(spec.loosens.iter().map(|of| format!("  * loosens {}", look.show(of))));
    lines.extend(spec.changes.iter().map(|of| format!("  {}", change(of, settings))));
    lines.extend(spec.more_changes.map(|more| format!("  and {more} more changes, all in the digest")));
    for held in &spec.held {
        lines.push(format!("  ! {}  {}: {}", look.show(&held.serial_number), held.reason, look.show(&held.message)));
        lines.extend(
            (!held.fields.is_empty()).then(|| format!("      would {}{}", held.action, fields(&held.fields, settings))),
        );
    }
    lines.extend(spec.more_held.map(|more| format!("  and {more} more that are held")));
    let count = usize::try_from(spec.more_changes.unwrap_or(0)).unwrap_or(0) + spec.changes.len();
    lines.push(String::new());
    lines.push(format!("{}: {}", counted(count, "change", "changes"), spec.summary));
    for limit in spec.limits.iter().filter(|limit| limit.value > 0) {
        let words = if limit.ok { "within its limit" } else { "over its limit" };
        lines.push(format!("{}: {} of {}, {words}", limit.name, limit.value, limit.limit));
    }
    lines.push(format!("digest {} until {}", spec.digest, spec.expires_at));
    lines.push(format!("state: {}", reason(conditions)));
    lines.join("\n") + "\n"
}

fn change(of: &PlannedChange, settings: &Settings) -> String {
    let sign = match of.action.as_str() {
        "register" => "+",
        "update" => "~",
        "deregister" => "-",
        "release" => ".",
        _ => "=",
    };
    let notes: String = of.notes.iter().flat_map(|note| ["\n      ", note.as_str()]).collect();
    let (serial, by) = (settings.look.show(&of.serial_number), settings.look.show(&of.declared_by));
    format!("{sign} {serial}  {}{}   {by}{notes}", of.action, fields(&of.fields, settings))
}

fn fields(of: &[PlannedField], settings: &Settings) -> String {
    let look = &settings.look;
    let value = |text: &Option<String>| text.as_deref().map(|text| look.value(text));
    let field = |field: &PlannedField| match (value(&field.before), value(&field.after)) {
        (Some(before), Some(after)) => format!("  {} {before} {} {after}", field.name, look.arrow()),
        (None, Some(one)) | (Some(one), None) => format!("  {} {one}", field.name),
        (None, None) => String::new(),
    };
    of.iter().map(field).collect()
}
