"""One tick of a layer beyond NIR: bring up to date, step, let fire, decide who stays awake."""

from __future__ import annotations

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.adaptive import adaptive, adaptive_awake
from nets.kernels.current import current_awake
from nets.kernels.hodgkin_huxley import hodgkin_huxley
from nets.kernels.izhikevich import izhikevich
from nets.kernels.jit import op
from nets.kernels.max_pool import max_pool
from nets.kernels.refractory import refractory
from nets.kernels.settle import catch_up, compete, settle
from nets.kernels.srm import srm


@op
def update_model(table, weights, real, dyn, di, marks, pop, tick, count):  # type: ignore[no-untyped-def]
    """Advance every listed site by one tick; return spikes, neurons touched and the sites that stay awake."""
    kind = table[pop + L.P_KIND]
    n = table[pop + L.P_N]
    block = table[pop + L.P_BLOCK]
    list_at = table[pop + L.P_LIST]
    mark_at = table[pop + L.P_MARK]
    last_at = table[pop + L.P_LAST]
    sleep = table[pop + L.P_SLEEP]
    spikes = 0
    for k in range(count):
        site = di[list_at + k]
        slept = tick - dyn[last_at + site]
        if slept > 0:
            catch_up(weights, real, table, pop, site, slept)
        dyn[last_at + site] = tick + 1
        if kind == M.KIND_ADAPTIVE:
            spikes = adaptive(weights, real, di, table, pop, site, spikes)
        elif kind == M.KIND_REFRACTORY:
            spikes = refractory(weights, real, di, table, pop, site, spikes)
        elif kind == M.KIND_SRM:
            spikes = srm(weights, real, di, table, pop, site, spikes)
        elif kind == M.KIND_IZHIKEVICH:
            spikes = izhikevich(weights, real, di, table, pop, site, spikes)
        elif kind == M.KIND_HODGKIN_HUXLEY:
            spikes = hodgkin_huxley(weights, real, di, table, pop, site, spikes)
        else:
            spikes = max_pool(weights, real, di, table, pop, site, spikes)
    if spikes > 0 and kind <= M.KIND_SRM:
        if table[pop + L.P_WINNERS] >= 0:
            spikes, count = compete(weights, real, dyn, di, marks, table, pop, tick, count, spikes)
        else:
            spikes = settle(weights, real, di, table, pop, spikes)
    v_at = table[pop + L.P_V]
    i_at = table[pop + L.P_U]
    coef = table[pop + L.P_COEF]
    kept = 0
    for k in range(count):
        site = di[list_at + k]
        awake = sleep == L.SLEEP_NEVER
        if sleep == L.SLEEP_BOUND:
            base = site * block
            awake = current_awake(weights, real, v_at + base, i_at + base, coef + base, n, block)
        elif kind == M.KIND_ADAPTIVE and not awake:
            awake = adaptive_awake(weights, real, table, pop, site)
        if awake:
            di[list_at + kept] = site
            kept += 1
            marks[mark_at + site] = 1
        else:
            marks[mark_at + site] = 0
    return spikes, count * block, kept
