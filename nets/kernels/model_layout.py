"""Columns and coefficient rows of the models beyond NIR, beside those of `layout`.

A model's further state stands at P_U, one array of P_N after another (a max pool has P_STEPS of them).
"""

from __future__ import annotations

from nets.kernels import layout as L

KIND_ADAPTIVE, KIND_REFRACTORY, KIND_SRM, KIND_IZHIKEVICH, KIND_HODGKIN_HUXLEY, KIND_MAX_POOL = range(
    L.KIND_MODEL, L.KIND_MODEL + 6
)

# rows of an adaptive layer after K_C, of current-based ones after K_DROOM
A_BETA, A_RHO, A_HOLD = 7, 8, 9
R_HOLD = 16
S_RHO, S_ETA = 16, 17

# rows of the published models after K_C; their state: Izhikevich u, Hodgkin-Huxley m, h, n
I_A, I_B, I_D = 7, 8, 9
H_CM, H_GNA, H_GK, H_GL, H_ENA, H_EK, H_EL = 7, 8, 9, 10, 11, 12, 13

ROWS = {
    KIND_ADAPTIVE: 10,
    KIND_REFRACTORY: 17,
    KIND_SRM: 18,
    KIND_IZHIKEVICH: 10,
    KIND_HODGKIN_HUXLEY: 14,
    KIND_MAX_POOL: 7,
}
"""How many coefficients each kind has."""
