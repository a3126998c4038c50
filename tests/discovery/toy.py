"""A thermodynamic database of three elements and three phases, whose equilibria take milliseconds."""

TDB = """
ELEMENT /-   ELECTRON_GAS 0 0 0 !
ELEMENT VA   VACUUM       0 0 0 !
ELEMENT AL   FCC_A1       26.98 0 0 !
ELEMENT CU   FCC_A1       63.55 0 0 !
ELEMENT MG   FCC_A1       24.31 0 0 !
TYPE_DEFINITION % SEQ *!
PHASE LIQUID % 1 1.0 !
CONSTITUENT LIQUID :AL,CU,MG: !
PHASE FCC_A1 % 2 1 1 !
CONSTITUENT FCC_A1 :AL,CU,MG:VA: !
PHASE THETA_AL2CU % 2 2 1 !
CONSTITUENT THETA_AL2CU :AL:CU: !
PARAMETER G(FCC_A1,AL:VA;0)   298.15 0; 6000 N !
PARAMETER G(FCC_A1,CU:VA;0)   298.15 0; 6000 N !
PARAMETER G(FCC_A1,MG:VA;0)   298.15 2600; 6000 N !
PARAMETER G(LIQUID,AL;0)      298.15 10711-11.473*T; 6000 N !
PARAMETER G(LIQUID,CU;0)      298.15 5000-11.5*T; 6000 N !
PARAMETER G(LIQUID,MG;0)      298.15 6000-11.2*T; 6000 N !
PARAMETER G(THETA_AL2CU,AL:CU;0) 298.15 -36000+9*T; 6000 N !
"""
# The cheapest alloy with a third of it molten at 915 K and little of the compound: a corner that two limits make.
SPECIFICATION = """
name = "a toy"
[elements]
Cu = [0.5, 6.0]
Mg = [0.0, 5.0]
[[phases]]
of = "LIQUID"
temperature = 915
min = 0.3
[[phases]]
of = "THETA_AL2CU"
temperature = 450
max = 0.03
[cost]
Cu = 1.0
Mg = 2.0
"""
