//! What a Grafana dashboard is made of, and its classic JSON model (the one that provisioning reads).
//! Source of the shapes: Grafana's documentation of the dashboard JSON model, schema version 39.

use serde_json::{Value, json};

/// Uid of the Prometheus data source that the provisioning files define.
pub const PROMETHEUS_UID: &str = "plimsoll-prometheus";

/// Columns of Grafana's grid.
pub const COLUMNS: u32 = 24;

/// A dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Stable: links and re-imports go by it.
    pub uid: &'static str,
    /// Title.
    pub title: &'static str,
    /// What it answers.
    pub description: &'static str,
    /// In reading order.
    pub panels: Vec<Panel>,
}

/// Where a panel stands, in grid units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Column of the left edge.
    pub x: u32,
    /// Row of the top edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How a panel draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanelKind {
    /// Lines over time.
    TimeSeries,
    /// One number a series.
    Stat,
    /// A heading.
    Row,
}

/// Grafana's names of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requests a second.
    RequestsPerSecond,
    /// 0 to 1, shown as percent.
    Ratio,
    /// Seconds.
    Seconds,
    /// Bytes in powers of 1024.
    Bytes,
    /// A count.
    Count,
    /// CPU cores.
    Cores,
    /// Operations a second.
    OperationsPerSecond,
}

impl Unit {
    /// As Grafana writes it.
    pub fn grafana(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "reqps",
            Self::Ratio => "percentunit",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Count | Self::Cores => "short",
            Self::OperationsPerSecond => "ops",
        }
    }
}

/// One query of a panel.
#[derive(Debug, Clone)]
pub struct Target {
    /// PromQL with Grafana's variables.
    pub expr: String,
    /// Template of the series' name.
    pub legend: &'static str,
    /// Whether exemplars are asked for: dots that lead to traces.
    pub exemplars: bool,
}

/// One panel.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Unique within the dashboard.
    pub id: u32,
    /// The question it answers.
    pub title: String,
    /// What bad looks like, and what to do.
    pub description: String,
    /// How it draws.
    pub kind: PanelKind,
    /// Where it stands.
    pub grid: Grid,
    /// Unit of its values.
    pub unit: Unit,
    /// Values above which it turns red; none leaves it green.
    pub threshold: Option<f64>,
    /// Its queries; none for a row.
    pub targets: Vec<Target>,
}

impl Dashboard {
    /// The classic JSON model, pretty-printed, with a newline at the end.
    pub fn to_json(&self) -> String {
        let panels: Vec<Value> = self.panels.iter().map(Panel::to_json).collect();
        let dashboard = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["plimsoll"],
            "schemaVersion": 39,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "5s",
            "time": { "from": "now-15m", "to": "now" },
            "timepicker": {},
            "timezone": "browser",
            "links": [{
                "title": "plimsoll", "type": "dashboards", "tags": ["plimsoll"], "asDropdown": true,
                "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""
            }],
            "annotations": { "list": [annotation()] },
            "templating": { "list": variables() },
            "panels": panels,
        });
        // Serialising a value made of strings and numbers cannot fail; the pretty form is the same on every machine.
        format!("{dashboard:#}\n")
    }
}

/// Marks the moments at which the autoscaler changed a workload.
fn annotation() -> Value {
    json!({
        "name": "scaling decisions",
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "enable": true,
        "hide": false,
        "iconColor": "purple",
        "expr": "sum by (workload, outcome) (increase(plimsoll_autoscaler_decisions_total{outcome!=\"Hold\"}[$__rate_interval])) > 0",
        "step": "5s",
        "titleFormat": "{{workload}}",
        "textFormat": "{{outcome}}",
    })
}

/// Data source, namespace and service, looked up again whenever the time range changes.
fn variables() -> Vec<Value> {
    let prometheus = json!({ "type": "prometheus", "uid": "${datasource}" });
    let lookup = |name: &str, label: &str, query: &str, many: bool| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": prometheus, "refresh": 2, "sort": 1, "hide": 0,
            "query": { "query": query, "refId": name }, "definition": query, "multi": many, "includeAll": many,
            "allValue": if many { json!(".*") } else { json!(null) },
            "current": if many { json!({ "text": "All", "value": "$__all" }) } else { json!({}) },
            "options": [], "regex": "", "skipUrlSync": false,
        })
    };
    vec![
        json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1,
            "current": { "text": "Plimsoll", "value": PROMETHEUS_UID }, "options": [], "regex": "", "multi": false,
            "includeAll": false, "skipUrlSync": false,
        }),
        lookup("namespace", "Namespace", "label_values(http_server_active_requests, namespace)", false),
        lookup(
            "service",
            "Service",
            "label_values(http_server_active_requests{namespace=\"$namespace\"}, service)",
            true,
        ),
    ]
}

impl Panel {
    fn to_json(&self) -> Value {
        let grid = json!({ "x": self.grid.x, "y": self.grid.y, "w": self.grid.width, "h": self.grid.height });
        if self.kind == PanelKind::Row {
            return json!({
                "id": self.id, "type": "row", "title": self.title, "gridPos": grid, "collapsed": false, "panels": [],
            });
        }
        let is_stat = self.kind == PanelKind::Stat;
        let options = if is_stat {
            json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "colorMode": "value", "graphMode": "area", "textMode": "auto", "orientation": "auto", "justifyMode": "auto",
            })
        } else {
            json!({
                "legend": { "displayMode": "table", "placement": "right", "calcs": ["lastNotNull"], "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            })
        };
        json!({
            "id": self.id,
            "type": if is_stat { "stat" } else { "timeseries" },
            "title": self.title,
            "description": self.description,
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "gridPos": grid,
            "fieldConfig": { "defaults": self.field_defaults(), "overrides": [] },
            "options": options,
            "targets": self.targets.iter().enumerate().map(|(i, t)| t.to_json(i, is_stat)).collect::<Vec<_>>(),
        })
    }

    fn field_defaults(&self) -> Value {
        let mut steps = vec![json!({ "color": "green", "value": null })];
        if let Some(threshold) = self.threshold {
            steps.push(json!({ "color": "red", "value": threshold }));
        }
        json!({
            "unit": self.unit.grafana(),
            "min": 0,
            "noValue": "no data",
            "thresholds": { "mode": "absolute", "steps": steps },
            "custom": {
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
                "thresholdsStyle": { "mode": if self.threshold.is_some() { "line" } else { "off" } },
            },
        })
    }
}

impl Target {
    fn to_json(&self, index: usize, instant: bool) -> Value {
        let letter = char::from(b'A' + u8::try_from(index % 26).unwrap_or(0));
        json!({
            "refId": letter.to_string(),
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend,
            "exemplar": self.exemplars,
            "instant": instant,
            "range": !instant,
        })
    }
}
