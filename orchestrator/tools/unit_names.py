"""Names, symbols and dimensions of the units that people may type; no factors, which each way has for itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIMENSIONS", "NAMES", "UNSURE", "Unit"]

DIMENSIONS: dict[str, dict[str, int]] = {
    "length": {"length": 1},
    "area": {"length": 2},
    "volume": {"length": 3},
    "mass": {"mass": 1},
    "time": {"time": 1},
    "speed": {"length": 1, "time": -1},
    "pressure": {"mass": 1, "length": -1, "time": -2},
    "energy": {"mass": 1, "length": 2, "time": -2},
    "power": {"mass": 1, "length": 2, "time": -3},
    "force": {"mass": 1, "length": 1, "time": -2},
    "data": {"data": 1},
    "temperature": {"temperature": 1},
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit by the one name that both ways to convert know it by."""

    key: str
    symbol: str
    kind: str

    @property
    def offset(self) -> bool:
        """Whether its zero is not nothing, as with degrees Celsius."""
        return self.kind == "temperature"

    @property
    def plural(self) -> bool:
        """Whether its symbol is a word that takes an s."""
        return self.symbol in WORDS

    @property
    def powers(self) -> bool:
        """Whether squares and cubes of it make sense."""
        return self.kind in ("length", "time")


WORDS = {"acre", "carat", "day", "fortnight", "furlong", "short ton", "long ton", "week"}

ROWS: dict[str, str] = {
    "length": """
        metre m | m metre metres meter meters
        kilometre km | km kms kilometre kilometres kilometer kilometers
        centimetre cm | cm cms centimetre centimetres centimeter centimeters
        millimetre mm | mm millimetre millimetres millimeter millimeters
        decimetre dm | dm decimetre decimetres decimeter decimeters
        micrometre um | um micron microns micrometre micrometres micrometer micrometers
        nanometre nm | nm nanometre nanometres nanometer nanometers
        inch in | in inch inches
        foot ft | ft foot feet
        yard yd | yd yds yard yards
        mile mi | mi mile miles
        nautical_mile nmi | nmi nautical_mile nautical_miles
        furlong furlong | furlong furlongs
        light_year ly | ly light_year light_years lightyear lightyears light-year light-years
        astronomical_unit au | au astronomical_unit astronomical_units
    """,
    "area": """
        hectare ha | ha hectare hectares
        acre acre | ac acre acres
        square_metre m² | sqm
        square_foot ft² | sqft
    """,
    "volume": """
        litre L | l litre litres liter liters
        millilitre mL | ml millilitre millilitres milliliter milliliters cc
        centilitre cL | cl centilitre centilitres centiliter centiliters
        decilitre dL | dl decilitre decilitres deciliter deciliters
        us_gallon US_gal | gal gallon gallons us_gallon us_gallons us_gal
        imperial_gallon imp_gal | imperial_gallon imperial_gallons uk_gallon uk_gallons imp_gal
        us_quart US_qt | qt quart quarts
        us_pint US_pt | pt pint pints us_pint us_pints
        imperial_pint imp_pt | imperial_pint imperial_pints uk_pint uk_pints
        us_cup US_cup | cup cups us_cup us_cups
        us_fluid_ounce US_fl_oz | floz fl_oz fluid_ounce fluid_ounces fl._oz
        us_tablespoon US_tbsp | tbsp tablespoon tablespoons
        us_teaspoon US_tsp | tsp teaspoon teaspoons
    """,
    "mass": """
        kilogram kg | kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes
        gram g | g gram grams gramme grammes
        milligram mg | mg milligram milligrams
        microgram ug | ug mcg microgram micrograms
        tonne t | t tonne tonnes metric_ton metric_tons
        pound lb | lb lbs pound pounds
        ounce oz | oz ounce ounces
        stone st | st stone stones
        short_ton short_ton | short_ton short_tons us_ton us_tons
        long_ton long_ton | long_ton long_tons imperial_ton imperial_tons
        carat carat | ct carat carats
        troy_ounce ozt | troy_ounce troy_ounces ozt
    """,
    "time": """
        second s | s sec secs second seconds
        minute min | min mins minute minutes
        hour h | h hr hrs hour hours
        day day | day days
        week week | week weeks wk wks
        fortnight fortnight | fortnight fortnights
        millisecond ms | ms millisecond milliseconds
        microsecond us | us microsecond microseconds
        nanosecond ns | ns nanosecond nanoseconds
    """,
    "speed": """
        mile_per_hour mph | mph
        kilometre_per_hour km/h | kph kmh kmph
        knot kn | kn kt knot knots
    """,
    "pressure": """
        pascal Pa | Pa pascal pascals
        hectopascal hPa | hPa hectopascal hectopascals
        kilopascal kPa | kPa kpa kilopascal kilopascals
        megapascal MPa | MPa megapascal megapascals
        bar bar | bar bars
        millibar mbar | mbar millibar millibars
        atmosphere atm | atm atmosphere atmospheres
        psi psi | psi
        torr Torr | torr
        mmhg mmHg | mmHg mmhg
    """,
    "energy": """
        joule J | J joule joules
        kilojoule kJ | kJ kj kilojoule kilojoules
        megajoule MJ | MJ megajoule megajoules
        calorie cal | cal calorie calories
        kilocalorie kcal | kcal kcals kilocalorie kilocalories
        watt_hour Wh | Wh watt_hour watt_hours
        kilowatt_hour kWh | kWh kwh kilowatt_hour kilowatt_hours
        electronvolt eV | eV electronvolt electronvolts
    """,
    "power": """
        watt W | W watt watts
        kilowatt kW | kW kw kilowatt kilowatts
        megawatt MW | MW megawatt megawatts
        horsepower hp | hp horsepower
    """,
    "force": """
        newton N | N newton newtons
        kilonewton kN | kN kilonewton kilonewtons
        pound_force lbf | lbf pound-force pounds-force
    """,
    "data": """
        bit bit | bit bits
        byte B | B byte bytes
        kilobit kbit | kbit kbits kilobit kilobits Kb
        megabit Mbit | Mbit Mbits mbit mbits megabit megabits Mb
        gigabit Gbit | Gbit Gbits gbit gbits gigabit gigabits Gb
        kilobyte kB | kB KB kb kilobyte kilobytes
        megabyte MB | MB mb megabyte megabytes
        gigabyte GB | GB gb gigabyte gigabytes
        terabyte TB | TB tb terabyte terabytes
        petabyte PB | PB pb petabyte petabytes
        kibibyte KiB | KiB kib kibibyte kibibytes
        mebibyte MiB | MiB mib mebibyte mebibytes
        gibibyte GiB | GiB gib gibibyte gibibytes
        tebibyte TiB | TiB tib tebibyte tebibytes
    """,
    "temperature": """
        celsius °C | C c °C °c celsius centigrade deg_c degc degree_c degrees_c degree_celsius degrees_celsius
        fahrenheit °F | F f °F °f fahrenheit deg_f degf degree_f degrees_f degree_fahrenheit degrees_fahrenheit
        kelvin K | K kelvin kelvins
    """,
}

CALENDAR = "months and years have no fixed length: ask for days, or between two dates"
UNSURE: dict[str, str] = {
    **dict.fromkeys(("ton", "tons"), "a ton may be a tonne, a short ton or a long ton: say which"),
    **dict.fromkeys(("month", "months", "year", "years"), CALENDAR),
}
"""Units that mean several things, with what to say instead."""


def _named() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for kind, rows in ROWS.items():
        for row in rows.strip().splitlines():
            head, _, names = row.partition("|")
            key, symbol = head.split()
            unit = Unit(key, symbol.replace("_", " "), kind)
            found |= {name.replace("_", " "): unit for name in names.split()}
    return found


NAMES: dict[str, Unit] = _named()
"""Every unit by every name; names that differ by case only stand as written."""
