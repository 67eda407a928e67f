"""Who of the neurons at threshold fires, and what a spike does to its own neuron and to the rest of its layer.

    k = floor(v / th), or the largest k < v / th where the rule is v > th, or 1
    v <- v - k th, or v_reset        b <- b + (1 - rho) k        q <- q - rho eta        left <- hold
    every other neuron:  v <- max(v - k inhibition, floor), before the next candidate is judged

`th` is the threshold of the moment; b and q have already decayed in this tick.
"""

from __future__ import annotations

import numpy as np

from nets.kernels import layout as L
from nets.kernels import model_layout as M
from nets.kernels.adaptive import adaptive_catch_up
from nets.kernels.jit import op
from nets.kernels.refractory import refractory_catch_up
from nets.kernels.srm import srm_catch_up


@op
def spike(weights, real, table, pop, j, th):  # type: ignore[no-untyped-def]
    """Fire neuron j; return how many times."""
    kind = table[pop + L.P_KIND]
    n = table[pop + L.P_N]
    v_at = table[pop + L.P_V]
    u_at = table[pop + L.P_U]
    p = table[pop + L.P_COEF] + j
    one = weights[0]
    if kind == M.KIND_SRM:
        real[u_at + n + j] -= weights[p + M.S_RHO * n] * weights[p + M.S_ETA * n]
        return one
    v = real[v_at + j]
    k = one
    if table[pop + L.P_MULTI] != 0:
        k = np.ceil(v / th) - one if table[pop + L.P_STRICT] != 0 else np.floor(v / th)
        k = max(k, one)
    v = v - k * th if table[pop + L.P_SUBTRACT] != 0 else weights[p + L.K_RESET * n]
    real[v_at + j] = max(v, weights[p + L.K_FLOOR * n])
    if kind == M.KIND_ADAPTIVE:
        real[u_at + j] += (one - weights[p + M.A_RHO * n]) * k
        real[u_at + n + j] = weights[p + M.A_HOLD * n]
    else:
        real[u_at + n + j] = weights[p + M.R_HOLD * n]
    return k


@op
def catch_up(weights, real, table, pop, site, ticks):  # type: ignore[no-untyped-def]
    """Bring a site that slept through `ticks` ticks up to date."""
    kind = table[pop + L.P_KIND]
    if kind == M.KIND_ADAPTIVE:
        adaptive_catch_up(weights, real, table, pop, site, ticks)
    elif kind == M.KIND_REFRACTORY:
        refractory_catch_up(weights, real, table, pop, site, ticks)
    elif kind == M.KIND_SRM:
        srm_catch_up(weights, real, table, pop, site, ticks)


@op
def settle(weights, real, di, table, pop, found):  # type: ignore[no-untyped-def]
    """Fire the `found` candidates, in place; without competition all of them do."""
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    for s in range(found):
        real[value_at + s] = spike(weights, real, table, pop, di[index_at + s], real[value_at + s])
    return found


@op
def compete(weights, real, dyn, di, marks, table, pop, tick, count, found):  # type: ignore[no-untyped-def]
    """Fire the strongest of `found` candidates one by one; return how many fired and the sites that are now listed."""
    n = table[pop + L.P_N]
    strict = table[pop + L.P_STRICT]
    v_at = table[pop + L.P_V]
    x_at = table[pop + L.P_X]
    index_at = table[pop + L.P_SPK_I]
    value_at = table[pop + L.P_SPK_V]
    winners = table[pop + L.P_WINNERS]
    inhibition = weights[table[pop + L.P_INHIBIT]]
    zero = weights[1]
    total = zero
    fired = 0
    while fired < found and (winners == 0 or fired < winners):
        best = fired
        for q in range(fired + 1, found):
            nearer = real[v_at + di[index_at + q]] - real[value_at + q]
            nearest = real[v_at + di[index_at + best]] - real[value_at + best]
            if nearer > nearest or (nearer == nearest and di[index_at + q] < di[index_at + best]):
                best = q
        j, th = di[index_at + best], real[value_at + best]
        di[index_at + best], real[value_at + best] = di[index_at + fired], real[value_at + fired]
        v = real[v_at + j] - total
        if not (v > th or (strict == 0 and v == th)):
            break
        real[v_at + j] = v
        k = spike(weights, real, table, pop, j, th)
        di[index_at + fired] = j
        real[value_at + fired] = k
        fired += 1
        total += k * inhibition
        real[x_at + j] = total  # what of the total does not come on top: taken before, or its own
    if total > zero:
        floor = table[pop + L.P_COEF] + L.K_FLOOR * n
        last_at = table[pop + L.P_LAST]
        mark_at = table[pop + L.P_MARK]
        for site in range(table[pop + L.P_SITES]):
            slept = tick + 1 - dyn[last_at + site]
            if slept > 0:
                catch_up(weights, real, table, pop, site, slept)
                dyn[last_at + site] = tick + 1
            if marks[mark_at + site] == 0:
                marks[mark_at + site] = 1
                di[table[pop + L.P_LIST] + count] = site
                count += 1
        for j in range(n):
            real[v_at + j] = max(real[v_at + j] - (total - real[x_at + j]), weights[floor + j])
    for s in range(fired):
        real[x_at + di[index_at + s]] = zero
    return fired, count
