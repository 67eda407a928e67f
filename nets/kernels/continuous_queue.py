"""Two heaps: the sites that will fire, each in it once, and the spikes under way, oldest first and stable."""

from __future__ import annotations

from nets.kernels import continuous_layout as L
from nets.kernels.jit import op


@op
def schedule(table, dyn, site, due):  # type: ignore[no-untyped-def]
    """Set when a site is due and move it to its place: by (due, site). FAR takes it out."""
    due_at, heap, place = table[L.H_DUE], table[L.H_HEAP], table[L.H_PLACE]
    count = dyn[table[L.H_HEAP_N]]
    at = dyn[place + site]
    dyn[due_at + site] = due
    if due == L.FAR:
        if at < 0:
            return
        count -= 1
        dyn[table[L.H_HEAP_N]] = count
        dyn[place + site] = -1
        if at == count:
            return
        site = dyn[heap + count]
    elif at < 0:
        at = count
        dyn[table[L.H_HEAP_N]] = count + 1
        count += 1
    key = dyn[due_at + site]
    while at > 0:
        above = (at - 1) >> 1
        other = dyn[heap + above]
        if dyn[due_at + other] < key or (dyn[due_at + other] == key and other < site):
            break
        dyn[heap + at] = other
        dyn[place + other] = at
        at = above
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        other = dyn[heap + below]
        if below + 1 < count:
            right = dyn[heap + below + 1]
            if dyn[due_at + right] < dyn[due_at + other] or (
                dyn[due_at + right] == dyn[due_at + other] and right < other
            ):
                below, other = below + 1, right
        if key < dyn[due_at + other] or (key == dyn[due_at + other] and site < other):
            break
        dyn[heap + at] = other
        dyn[place + other] = at
        at = below
    dyn[heap + at] = site
    dyn[place + site] = at


@op
def push(table, dyn, ahead, value, due, conn, index, size):  # type: ignore[no-untyped-def]
    """Add a spike under way; the caller made sure that there is room."""
    at = dyn[table[L.H_AHEAD_N]]
    order = dyn[table[L.H_ORDER]]
    dyn[table[L.H_AHEAD_N]] = at + 1
    dyn[table[L.H_ORDER]] = order + 1
    while at > 0:
        above = (at - 1) >> 1
        if ahead[above, L.A_DUE] <= due:  # what is there came earlier
            break
        for c in range(4):
            ahead[at, c] = ahead[above, c]
        value[at] = value[above]
        at = above
    ahead[at, L.A_DUE], ahead[at, L.A_ORDER], ahead[at, L.A_CONN], ahead[at, L.A_INDEX] = due, order, conn, index
    value[at] = size


@op
def pop(table, dyn, ahead, value):  # type: ignore[no-untyped-def]
    """Take out the first spike under way; return its connection, source index and value."""
    conn, index, size = ahead[0, L.A_CONN], ahead[0, L.A_INDEX], value[0]
    count = dyn[table[L.H_AHEAD_N]] - 1
    dyn[table[L.H_AHEAD_N]] = count
    due, order = ahead[count, L.A_DUE], ahead[count, L.A_ORDER]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        if below + 1 < count and (
            ahead[below + 1, L.A_DUE] < ahead[below, L.A_DUE]
            or (
                ahead[below + 1, L.A_DUE] == ahead[below, L.A_DUE]
                and ahead[below + 1, L.A_ORDER] < ahead[below, L.A_ORDER]
            )
        ):
            below += 1
        if due < ahead[below, L.A_DUE] or (due == ahead[below, L.A_DUE] and order < ahead[below, L.A_ORDER]):
            break
        for c in range(4):
            ahead[at, c] = ahead[below, c]
        value[at] = value[below]
        at = below
    for c in range(4):
        ahead[at, c] = ahead[count, c]
    value[at] = value[count]
    return conn, index, size
