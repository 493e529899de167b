"""Panels in one style: what every panel of ours has, so that a dashboard's file says only what it shows."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from msgspec import Struct

__all__ = [
    "DATASOURCE",
    "Panel",
    "Query",
    "dashed",
    "graph",
    "new_dashboard",
    "number",
    "rising",
    "sinking",
    "table_of",
    "variable_of",
]

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED = "green", "yellow", "red"
_NEAR: Final = 0.8
_NO_DATA: Final = "no data in this range"
_GRAPH_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4


class Query(Struct, frozen=True, kw_only=True):
    """One PromQL expression and what its series are called."""

    expr: str
    legend: str


Panel: TypeAlias = Builder[models.Panel]
Thresholds: TypeAlias = Sequence[tuple[float | None, str]]


def rising(limit: float) -> Thresholds:
    """Green up to 80 % of `limit`, yellow up to it, red from there on."""
    return ((None, GREEN), (round(limit * _NEAR, 6), YELLOW), (limit, RED))


def sinking(red_below: float, green_from: float) -> Thresholds:
    """Red below the first figure, green from the second on, yellow between them."""
    return ((None, RED), (red_below, YELLOW), (green_from, GREEN))


def _steps(thresholds: Thresholds) -> builders.ThresholdsConfig:
    steps = [models.Threshold(value=value, color=color) for value, color in thresholds]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _colored(mode: models.FieldColorModeId) -> builders.FieldColor:
    return builders.FieldColor().mode(mode)  # said outright: a panel without it falls back to threshold colours


def _target(query: Query, number_: int) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + number_))


def graph(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    thresholds: Thresholds | None = None,
    width: int = 8,
    top: float | None = None,
    stacked: bool = False,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Return lines over time. A benchmark is a dot now and then, so points are always drawn."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(_NO_DATA)
        .color_scheme(_colored(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .thresholds(_steps(thresholds or ((None, GREEN),)))
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(20 if stacked else 0)
        .show_points(common.VisibilityMode.ALWAYS)
        .point_size(4)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .span(width)
        .height(_GRAPH_HEIGHT)
        .targets([_target(query, index) for index, query in enumerate(queries)])
    )
    if thresholds is not None:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE_AND_AREA)
        panel.thresholds_style(style)
    if top is not None:
        panel.max(top)
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if logarithmic:
        panel.scale_distribution(common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    else:
        panel.min(0)
    return panel


def dashed(panel: timeseries.Panel, names: str) -> timeseries.Panel:
    """Draw the series whose name matches a regular expression as thin dashed lines: limits, not measurements."""
    return panel.override_by_regexp(
        names,
        [
            models.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [6, 6]}),
            models.DynamicConfigValue(id_val="custom.showPoints", value="never"),
        ],
    )


def number(
    title: str, description: str, unit: str, query: Query, *, thresholds: Thresholds | None = None, width: int = 6
) -> stat.Panel:
    """Return one figure in large type, coloured by its thresholds."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(_NO_DATA)
        .color_scheme(_colored(models.FieldColorModeId.THRESHOLDS))
        .thresholds(_steps(thresholds or ((None, "text"),)))
        .color_mode(common.BigValueColorMode.BACKGROUND if thresholds else common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
        .span(width)
        .height(_STAT_HEIGHT)
        .targets([_target(query, 0).instant()])
    )


def table_of(
    title: str,
    description: str,
    columns: Sequence[tuple[str, str, Query, Thresholds | None]],
    *,
    labels: Sequence[tuple[str, str]],
    width: int = 24,
) -> table.Panel:
    """Return a table of instant queries joined by their labels.

    Args:
        title: The panel's.
        description: What it means and what to do.
        columns: Heading, unit, query and colours of each figure.
        labels: Label and heading of each column before the figures.
        width: Of 24.
    """
    ordered = [name for name, _ in labels] + [f"Value #{chr(ord('A') + index)}" for index in range(len(columns))]
    renamed = dict(labels) | {f"Value #{chr(ord('A') + index)}": column[0] for index, column in enumerate(columns)}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(columns[0][1])
        .no_value(_NO_DATA)
        .color_scheme(_colored(models.FieldColorModeId.THRESHOLDS))
        .thresholds(_steps(((None, "text"),)))
        .span(width)
        .height(_GRAPH_HEIGHT + 3)
        .targets(
            [
                _target(query, index).instant().format(PromQueryFormat.TABLE)
                for index, (_, _, query, _) in enumerate(columns)
            ]
        )
        .transformations(
            [
                models.DataTransformerConfig(id_val="merge", options={}),
                models.DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": {"Time": True},
                        "indexByName": {name: index for index, name in enumerate(ordered)},
                        "renameByName": renamed,
                    },
                ),
            ]
        )
    )
    for heading, unit, _, thresholds in columns:
        properties = [models.DynamicConfigValue(id_val="unit", value=unit)]
        if thresholds is not None:
            steps = [{"value": value, "color": color} for value, color in thresholds]
            properties += [
                models.DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps}),
                models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background"}),
            ]
        panel.override_by_name(heading, properties)
    return panel


def new_dashboard(
    title: str, uid: str, description: str, *, probe: str, refresh: str, since: str
) -> builders.Dashboard:
    """Return an empty dashboard with our variables, links and marks of new versions.

    Args:
        title: Its name.
        uid: Its address in Grafana.
        description: One sentence.
        probe: A metric every process of interest exposes: the variables list its jobs and instances.
        refresh: How often it asks anew.
        since: The range it opens with.
    """
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["slotzero"])
        .readonly()
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(f"now-{since}", "now")
        .refresh(refresh)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_variable("job", "Job", f"label_values({probe}, job)"))
        .with_variable(_variable("instance", "Version or process", f'label_values({probe}{{job=~"$job"}}, instance)'))
        .link(
            builders.DashboardLink("slotzero")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["slotzero"])
            .as_dropdown(as_dropdown=False)
            .keep_time(keep_time=True)
            .include_vars(include_vars=True)
        )
        .annotation(
            builders.AnnotationQuery()
            .name("New version")
            .datasource(DATASOURCE)
            .enable(enable=True)
            .icon_color("blue")
            # A new version is a new series, so its value never "changes": ask for what was not there before.
            .expr('bot_build_info{job=~"$job"} unless on (job, version) bot_build_info{job=~"$job"} offset 1m')
            .title_format("{{version}}")
            .text_format("{{instance}}")
        )
    )


def variable_of(name: str, label: str, query: str) -> builders.QueryVariable:
    """Return a choice among label values: several or all."""
    return _variable(name, label, query)


def _variable(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )
