//! A throw-away Kubernetes on this machine, by whichever of kind, k3d and minikube is installed: brings it up with our image in
//! it, prints how to use it, takes it down. Never touches the user's own kubeconfig. What is called stands in `plan`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

mod plan;

use plan::{BUILDER, Call, Cluster, Tool};

/// `cargo xtask cluster`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Starts the cluster, builds the image, brings it to the nodes, and prints the lines that use it.
    Up(Arguments),
    /// Deletes the cluster and its kubeconfig.
    Down(Arguments),
}

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The program that makes the cluster [default: the first of kind, k3d, minikube that is installed].
    #[arg(long)]
    with: Option<Tool>,
    /// The cluster's name.
    #[arg(long, default_value = "plimsoll")]
    name: String,
    /// The image that is built and brought to the nodes.
    #[arg(long, default_value = "plimsoll:e2e")]
    image: String,
    /// Takes the image as it is instead of building it.
    #[arg(long)]
    no_build: bool,
}

/// Brings the cluster up or down.
pub fn run(action: &Action) -> anyhow::Result<()> {
    let machine = Machine { path: std::env::var_os("PATH").unwrap_or_default(), root: crate::root() };
    match action {
        Action::Up(arguments) => machine.up(arguments),
        Action::Down(arguments) => machine.down(arguments),
    }
}

/// What is installed, and where the checkout is; a test brings its own.
struct Machine {
    path: OsString,
    root: PathBuf,
}

impl Machine {
    fn up(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let cluster = self.cluster(arguments)?;
        if !arguments.no_build && !self.has(BUILDER) {
            bail!("{BUILDER} is not installed: install it, or bring an image of your own with --no-build");
        }
        let folder = self.root.join("target/cluster");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // The image first: what takes minutes and may fail leaves no cluster behind.
        if !arguments.no_build {
            self.call(&plan::build(&arguments.image))?;
        }
        for call in cluster.up(&arguments.image) {
            self.call(&call)?;
        }
        println!("{}", cluster.farewell(&arguments.image));
        Ok(())
    }

    fn down(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let cluster = self.cluster(arguments)?;
        self.call(&cluster.down())?;
        match fs::remove_file(&cluster.kubeconfig) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", cluster.kubeconfig.display()))
            }
            _ => Ok(()),
        }
    }

    fn cluster(&self, arguments: &Arguments) -> anyhow::Result<Cluster> {
        let tool = match arguments.with {
            Some(tool) if self.has(tool.program()) => tool,
            Some(tool) => bail!("{} is not installed: {}", tool.program(), tool.remedy()),
            None => match Tool::ALL.into_iter().find(|tool| self.has(tool.program())) {
                Some(tool) => tool,
                None => bail!(plan::none_installed()),
            },
        };
        let kubeconfig = self.root.join("target/cluster").join(format!("{}.kubeconfig", arguments.name));
        Ok(Cluster { tool, name: arguments.name.clone(), kubeconfig })
    }

    fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| is_executable(&folder.join(program)))
    }

    fn call(&self, call: &Call) -> anyhow::Result<()> {
        println!("== {call}");
        let mut command = Command::new(call.program);
        command.args(&call.arguments).current_dir(&self.root).env("PATH", &self.path).stdin(Stdio::null());
        if let Some(kubeconfig) = &call.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        if let Some(file) = &call.output {
            let file = fs::File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
            command.stdout(file);
        }
        let status = command.status().with_context(|| format!("cannot start {}", call.program))?;
        if !status.success() {
            bail!("`{call}` failed ({status}): what it says above is why");
        }
        Ok(())
    }
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
