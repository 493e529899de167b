// The server's ticks, and the history charts are drawn of. Bounded: five minutes of two ticks a second.
const MOST = 600;
const listeners = new Set();
export const live = { newest: null, points: [], state: "waiting", isPaused: false };

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
function tell() { for (const listener of listeners) listener(live); }
function point(tick) {
  return {
    ts_ms: tick.ts_ms, p: tick.components.map((one) => [one.p50_ms, one.p95_ms, one.p99_ms, one.ops_per_s, one.own_p95_ms]),
    r: [tick.resources.memory_mb, tick.resources.cpu_percent, tick.resources.loop_p50_ms, tick.resources.loop_p99_ms],
    c: [tick.counts.in_flight, tick.counts.waiting, tick.counts.held, tick.success_percent], m: [tick.pnl_lamports, tick.value_lamports],
  };
}
export function connect() {
  const source = new EventSource("/api/v1/performance/stream");
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  let skipped = false;
  source.addEventListener("history", (event) => { live.points = JSON.parse(event.data); });
  source.addEventListener("tick", (event) => {
    live.newest = JSON.parse(event.data);
    live.state = live.newest.bot === null ? "waiting" : "live";
    const last = live.points.at(-1);
    if (last === undefined || last.ts_ms < live.newest.ts_ms) live.points.push(point(live.newest));
    if (live.points.length > MOST) live.points.splice(0, live.points.length - MOST);
    skipped = isCalm.matches && !skipped;
    if (!document.hidden && !live.isPaused && !skipped) tell();
  });
  source.addEventListener("error", () => {
    live.state = "lost"; tell();
    // A browser gives up on an answer that is no stream (a server that is just going down): begin again.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  });
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) tell(); });
