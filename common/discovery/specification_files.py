"""A Specification read from a TOML file; what makes no sense in it is refused in a line."""

import difflib
import tomllib
from pathlib import Path

import numpy as np

from common.discovery.alloying import ELEMENTS
from common.discovery.calphad import HOTTER, MOSTLY_SOLID, PHASES, TEMPERATURES
from common.discovery.specifications import MELTING, PRECIPITATES, Limit, Specification
from common.errors import InputError
from common.names import name_of_file

# What engineers call phases: their names in the database are hard to guess, and the nearest word is another phase.
COMMON_NAMES = {
    "SI": "SI_DIAMOND_A4",
    "MG2SI": "MG2SI_B",
    "AL2CU": "THETA_AL2CU",
    "THETA": "THETA_AL2CU",
    "AL2CUMG": "S_PHASE",
    "S": "S_PHASE",
    "MGZN2": "LC14_ZN2MG",
    "ETA": "LC14_ZN2MG",
    "Q": "Q_PHASE_L",
    "PI": "PI_ALFEMGSI",
    "AL3FE": "AL13FE4",
    "AL3TI": "AL3TI_L",
    "AL3MG2": "BETA_AL3MG2",
    "AL": "FCC_A1",
}


def read_specification(path):
    """The Specification in a TOML file; `examples/specifications/` has some.

    Raises:
        InputError: no such file, no TOML, or a name or number that makes no sense, said in one line.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: name a specification, such as one of examples/specifications/") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as TOML ({str(error)[:200]}): correct it") from error
    return _Reader(path).specification(content)


class _Reader:
    """Reads the tables of one file; every refusal names it."""

    def __init__(self, path):
        self.path = path

    def refuse(self, what):
        raise InputError(f"{self.path}: {what}")

    def known(self, given, names, what):
        """`given` is one of the names, or refused with the nearest one."""
        if given not in names:
            common = COMMON_NAMES.get(str(given).upper())
            near = [common] if common in names else difflib.get_close_matches(str(given), names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            self.refuse(f"{str(given)[:40]!r} is no {what}: {hint}")
        return given

    def table(self, content, name, keys=None):
        """A table of the file, {} where it is missing; its keys are among `keys`."""
        found = content.get(name, {})
        if not isinstance(found, dict):
            self.refuse(f"{name} must be a table: write [{name}]")
        for key in found if keys else ():
            self.known(key, keys, f"key of [{name}]")
        return found

    def number(self, value, what, least=0.0, most=1e6):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            # Of very many digits Python writes no number.
            shown = "too large" if isinstance(value, int) and value > most else str(value)[:40]
            self.refuse(f"{what} is {shown}, not a number from {least:g} to {most:g}")
        return float(value)

    def element(self, name):
        return self.known(str(name).upper(), ELEMENTS, "element that is calculated")

    def specification(self, content):
        for key in content:
            self.known(key, ("name", "elements", "melting", "phases", "cost"), "part of a specification")
        elements = []
        for name, ends in self.table(content, "elements").items():
            if not isinstance(ends, list) or len(ends) != 2:
                self.refuse(f"{name} must be a range in wt%, such as {name} = [0.4, 0.8]")
            least, most = (self.number(end, f"wt% of {name}", 0, 100) for end in ends)
            if least > most:
                self.refuse(f"{name} from {least:g} to {most:g} wt% is no range: exchange the numbers")
            elements.append((self.element(name), least, most))
        names = [element for element, *_ in elements]
        if not any(most > least for _, least, most in elements):
            self.refuse("no element may vary: give a range to those of [elements] that may be there")
        if len(set(names)) < len(names):
            self.refuse("an element of [elements] stands there twice: leave one out")
        if sum(most for *_, most in elements) >= 100:
            self.refuse("the elements may hold over 100 wt%: lower their upper limits")
        limits = [*self.melting(content), *self.phases(content)]
        if not limits:
            self.refuse("it limits no property: add [melting] or [[phases]]")
        self.check_together(limits)
        cost = self.table(content, "cost")
        cost = tuple((self.element(name), self.number(weight, f"cost of {name}")) for name, weight in cost.items())
        for element, _ in cost:
            self.known(element, names, "element of [elements]")
        if len(dict(cost)) < len(cost):
            self.refuse("an element of [cost] stands there twice: leave one out")
        title = content.get("name", name_of_file(self.path))
        if not isinstance(title, str) or not title.strip() or not title.isprintable() or "$" in title:
            self.refuse("name must be a line of text, without $")
        return Specification(title, tuple(sorted(elements)), tuple(limits), tuple(sorted(cost)))

    def check_together(self, limits):
        """Refuse limits that no alloy keeps, whatever it is made of."""
        least, most = {}, {}
        for limit in limits:
            of = (limit.quantity, limit.phases, limit.temperature)
            if limit.at_least:
                least[of] = max(limit.bound, least.get(of, limit.bound))
            else:
                most[of] = min(limit.bound, most.get(of, limit.bound))
        for of in least.keys() & most.keys():
            if least[of] > most[of]:
                self.refuse(f"the {' + '.join(of[1]) or of[0]} has a min above its max: correct one of them")
        solidus, liquidus = ((name, (), None) for name in ("solidus", "liquidus"))
        if least.get(solidus, 0) > most.get(liquidus, np.inf):
            self.refuse("the solidus must be above what the liquidus must be below: correct one of them")

    def bounds(self, table, what, most):
        """[(at_least, bound)] of a table with min, max or both."""
        found = [
            (key == "min", self.number(table[key], f"{key} of {what}", 0, most))
            for key in ("min", "max")
            if key in table
        ]
        if not found:
            self.refuse(f"{what} has neither min nor max: give one")
        if len(found) == 2 and found[0][1] > found[1][1]:
            self.refuse(f"{what} has a min above its max: exchange them")
        return found

    def melting(self, content):
        for quantity, table in self.table(content, "melting", MELTING).items():
            if not isinstance(table, dict):
                self.refuse(f"{quantity} must say min, max or both, in K: {quantity} = {{min = 850}}")
            for key in table:
                self.known(key, ("min", "max"), f"key of {quantity}")
            for at_least, bound in self.bounds(table, quantity, HOTTER[-1]):
                if quantity in ("solidus", "liquidus") and bound < MOSTLY_SOLID:
                    self.refuse(f"{quantity} of {bound:g} is below {MOSTLY_SOLID:g} K: give it in K (C + 273.15)")
                yield Limit(quantity, (), None, at_least, bound)

    def phases(self, content):
        tables = content.get("phases", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.refuse("phases must be tables of their own: write [[phases]]")
        for table in tables:
            for key in table:
                self.known(key, ("of", "temperature", "min", "max"), "key of [[phases]]")
            of = table.get("of")
            names = [of] if isinstance(of, str) else of
            if not isinstance(names, list) or not names:
                self.refuse(f'[[phases]] must say of which: of = "MG2SI_B", a list of phases, or "{PRECIPITATES}"')
            if [str(name).lower() for name in names] == [PRECIPITATES]:
                names = [PRECIPITATES]
            else:
                names = sorted({self.known(str(name).upper(), PHASES, "phase that is calculated") for name in names})
            if "temperature" not in table:
                self.refuse("[[phases]] must say at which temperature, in K")
            temperature = self.number(table["temperature"], "temperature", TEMPERATURES[0], HOTTER[-1])
            for at_least, bound in self.bounds(table, f"the fraction of {' + '.join(names)}", 1.0):
                yield Limit("phases", tuple(names), temperature, at_least, bound)
