//! Which program is called with which arguments. Pure: starts nothing, looks at nothing.

use std::fmt;
use std::path::PathBuf;

/// What builds images.
pub const BUILDER: &str = "docker";

/// What makes a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    Kind,
    K3d,
    Minikube,
}

impl Tool {
    /// In the order in which they are looked for.
    pub const ALL: [Self; 3] = [Self::Kind, Self::K3d, Self::Minikube];

    pub fn program(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::K3d => "k3d",
            Self::Minikube => "minikube",
        }
    }

    /// How to get it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Kind => "see https://kind.sigs.k8s.io, or `go install sigs.k8s.io/kind@latest`; it needs docker",
            Self::K3d => "see https://k3d.io, or `brew install k3d`; it needs docker",
            Self::Minikube => "see https://minikube.sigs.k8s.io, or `brew install minikube`",
        }
    }
}

/// What is said when none is there.
pub fn none_installed() -> String {
    let mut text = "no program that makes a cluster is installed; any of these will do:".to_owned();
    for tool in Tool::ALL {
        text.push_str(&format!("\n  {}: {}", tool.program(), tool.remedy()));
    }
    text
}

/// Builds the image. Only docker: the three tools take images from its store.
pub fn build(image: &str) -> Call {
    Call::new(BUILDER, &["build", "--tag", image, "."])
}

/// One program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub program: &'static str,
    pub arguments: Vec<String>,
    /// `KUBECONFIG` for it, where no option says so.
    pub kubeconfig: Option<PathBuf>,
    /// Where what it prints goes.
    pub output: Option<PathBuf>,
}

impl Call {
    fn new(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program, arguments, kubeconfig: None, output: None }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.program, self.arguments.join(" "))?;
        match &self.output {
            Some(file) => write!(f, " > {}", file.display()),
            None => Ok(()),
        }
    }
}

/// A cluster that is to be, or was.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub tool: Tool,
    pub name: String,
    /// Of this cluster alone.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts it, writes its kubeconfig, and brings the image to its nodes.
    pub fn up(&self, image: &str) -> Vec<Call> {
        let (name, config) = (self.name.as_str(), self.kubeconfig.to_string_lossy());
        let program = self.tool.program();
        let call = |arguments: &[&str]| Call::new(program, arguments);
        match self.tool {
            Tool::Kind => vec![
                call(&["create", "cluster", "--name", name, "--kubeconfig", &config, "--wait", "120s"]),
                call(&["load", "docker-image", image, "--name", name]),
            ],
            Tool::K3d => vec![
                call(&["cluster", "create", name, "--wait", "--timeout", "120s", "--kubeconfig-update-default=false"]),
                Call { output: Some(self.kubeconfig.clone()), ..call(&["kubeconfig", "get", name]) },
                call(&["image", "import", image, "--cluster", name]),
            ],
            Tool::Minikube => vec![
                self.with_kubeconfig(call(&["start", "--profile", name, "--wait", "all"])),
                self.with_kubeconfig(call(&["image", "load", image, "--profile", name])),
            ],
        }
    }

    /// Deletes it.
    pub fn down(&self) -> Call {
        let (name, config) = (self.name.as_str(), self.kubeconfig.to_string_lossy());
        let call = |arguments: &[&str]| Call::new(self.tool.program(), arguments);
        match self.tool {
            Tool::Kind => call(&["delete", "cluster", "--name", name, "--kubeconfig", &config]),
            Tool::K3d => call(&["cluster", "delete", name]),
            Tool::Minikube => self.with_kubeconfig(call(&["delete", "--profile", name])),
        }
    }

    /// minikube has no option for it.
    fn with_kubeconfig(&self, call: Call) -> Call {
        Call { kubeconfig: Some(self.kubeconfig.clone()), ..call }
    }

    /// What to do with it.
    pub fn farewell(&self, image: &str) -> String {
        let config = self.kubeconfig.display();
        let (program, name) = (self.tool.program(), &self.name);
        format!(
            "\nThe cluster {name} is up, with the image {image} on its nodes.\n\n  \
             export KUBECONFIG={config}\n\n\
             The end-to-end suite:\n\n  \
             PLIMSOLL_E2E_KUBECONFIG={config} PLIMSOLL_E2E_IMAGE={image} cargo test -p e2e --test it\n\n\
             Delete it with\n\n  \
             cargo xtask cluster down --with {program} --name {name}"
        )
    }
}
