"""What people and machines type into the text fields of a radiograph, in seven languages, with their errors.

The lists are the phantom's own, written from how exports look; whoever reads such tags must not learn from them.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

LANGUAGES = ("es", "ca", "en", "de", "fr", "pt", "it")

ERRORS = ("dropped", "doubled", "swapped", "unaccented", "mojibake", "cut", "padded")
"""What can go wrong: a letter lost, typed twice or exchanged with its neighbour, accents left out, UTF-8 read as
Latin-1, text cut at a field's length, stray blanks and signs."""


@dataclass(frozen=True)
class Words:
    """The text fields of one image.

    Attributes:
        language: one of LANGUAGES. part: the body part that they speak of, a key of `osteon.phantom.limbs.SITES` or
            of OTHERS.
        errors: what went wrong in `body_part`, from ERRORS.
    """

    language: str
    part: str
    body_part: str
    study: str
    series: str
    protocol: str
    errors: tuple[str, ...]


OTHERS = ("shoulder", "hip", "finger", "spine")
"""Parts that are only spoken of, where a tag is wrong."""

_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "es": {
        "wrist": ("muñeca", "MUÑECA", "muñecas", "carpo", "muñeca y carpo"),
        "hand": ("mano", "MANO", "manos", "mano y dedos"),
        "forearm": ("antebrazo", "ANTEBRAZO", "cúbito y radio", "ant.brazo"),
        "elbow": ("codo", "CODO", "codos"),
        "leg": ("pierna", "PIERNA", "tibia y peroné", "tibia"),
        "ankle": ("tobillo", "TOBILLO", "tobillos"),
        "knee": ("rodilla", "RODILLA", "rodillas"),
        "foot": ("pie", "PIE", "pies", "antepié"),
        "chest": ("tórax", "TORAX", "torax", "parrilla costal"),
        "shoulder": ("hombro", "HOMBRO"),
        "hip": ("cadera", "CADERA"),
        "finger": ("dedo", "dedos de la mano"),
        "spine": ("columna", "c. lumbar"),
    },
    "ca": {
        "wrist": ("canell", "CANELL", "canells", "monyica"),
        "hand": ("mà", "MÀ", "mans"),
        "forearm": ("avantbraç", "AVANTBRAÇ", "cúbit i radi"),
        "elbow": ("colze", "COLZE"),
        "leg": ("cama", "CAMA", "tíbia i peroné"),
        "ankle": ("turmell", "TURMELL"),
        "knee": ("genoll", "GENOLL", "genolls"),
        "foot": ("peu", "PEU", "peus"),
        "chest": ("tòrax", "TÒRAX"),
        "shoulder": ("espatlla",),
        "hip": ("maluc",),
        "finger": ("dit", "dits de la mà"),
        "spine": ("columna lumbar",),
    },
    "en": {
        "wrist": ("wrist", "WRIST", "Wrists", "carpal", "WRIST JOINT"),
        "hand": ("hand", "HAND", "Hands"),
        "forearm": ("forearm", "FOREARM", "radius ulna", "RAD/ULNA"),
        "elbow": ("elbow", "ELBOW"),
        "leg": ("lower leg", "LOWER LEG", "tibia fibula", "TIB FIB", "TIBIA"),
        "ankle": ("ankle", "ANKLE", "Ankles"),
        "knee": ("knee", "KNEE", "Knees"),
        "foot": ("foot", "FOOT", "Feet"),
        "chest": ("chest", "CHEST", "THORAX"),
        "shoulder": ("shoulder", "SHOULDER"),
        "hip": ("hip", "HIP"),
        "finger": ("finger", "FINGERS", "digit"),
        "spine": ("spine", "LSPINE"),
    },
    "de": {
        "wrist": ("Handgelenk", "HANDGELENK", "Handgel.", "Handwurzel", "HG"),
        "hand": ("Hand", "HAND", "Hände", "Mittelhand"),
        "forearm": ("Unterarm", "UNTERARM", "UA"),
        "elbow": ("Ellenbogen", "ELLENBOGEN", "Ellbogen"),
        "leg": ("Unterschenkel", "UNTERSCHENKEL", "US"),
        "ankle": ("Sprunggelenk", "OSG", "ob. Sprunggelenk"),
        "knee": ("Knie", "KNIE", "Kniegelenk"),
        "foot": ("Fuß", "FUSS", "Vorfuß"),
        "chest": ("Thorax", "THORAX", "Lunge"),
        "shoulder": ("Schulter",),
        "hip": ("Hüfte", "Beckenübersicht"),
        "finger": ("Finger", "Daumen"),
        "spine": ("LWS", "Wirbelsäule"),
    },
    "fr": {
        "wrist": ("poignet", "POIGNET", "poignets", "carpe"),
        "hand": ("main", "MAIN", "mains"),
        "forearm": ("avant-bras", "AVANT BRAS", "avant bras"),
        "elbow": ("coude", "COUDE"),
        "leg": ("jambe", "JAMBE", "tibia péroné"),
        "ankle": ("cheville", "CHEVILLE"),
        "knee": ("genou", "GENOU", "genoux"),
        "foot": ("pied", "PIED", "avant-pied"),
        "chest": ("thorax", "poumon", "THORAX"),
        "shoulder": ("épaule",),
        "hip": ("hanche", "bassin"),
        "finger": ("doigt", "doigts"),
        "spine": ("rachis", "rachis lombaire"),
    },
    "pt": {
        "wrist": ("punho", "PUNHO", "punhos", "pulso"),
        "hand": ("mão", "MÃO", "mãos"),
        "forearm": ("antebraço", "ANTEBRAÇO"),
        "elbow": ("cotovelo", "COTOVELO"),
        "leg": ("perna", "PERNA", "tíbia e fíbula"),
        "ankle": ("tornozelo", "TORNOZELO"),
        "knee": ("joelho", "JOELHO"),
        "foot": ("pé", "PÉ", "antepé"),
        "chest": ("tórax", "TÓRAX"),
        "shoulder": ("ombro",),
        "hip": ("anca", "quadril"),
        "finger": ("dedo", "quirodáctilo"),
        "spine": ("coluna",),
    },
    "it": {
        "wrist": ("polso", "POLSO", "polsi", "carpo"),
        "hand": ("mano", "MANO", "mani"),
        "forearm": ("avambraccio", "AVAMBRACCIO"),
        "elbow": ("gomito", "GOMITO"),
        "leg": ("gamba", "GAMBA", "tibia e perone"),
        "ankle": ("caviglia", "CAVIGLIA"),
        "knee": ("ginocchio", "GINOCCHIO"),
        "foot": ("piede", "PIEDE", "avampiede"),
        "chest": ("torace", "TORACE"),
        "shoulder": ("spalla",),
        "hip": ("anca", "bacino"),
        "finger": ("dito", "dita mano"),
        "spine": ("rachide",),
    },
}

_SIDES: dict[str, dict[str, tuple[str, ...]]] = {
    "es": {"L": ("izquierda", "izq.", "IZQ", "i"), "R": ("derecha", "dcha.", "DCHA", "d")},
    "ca": {"L": ("esquerre", "esq.", "E"), "R": ("dret", "dta.", "D")},
    "en": {"L": ("left", "LT", "L", "lt."), "R": ("right", "RT", "R", "rt.")},
    "de": {"L": ("links", "li.", "li", "LI"), "R": ("rechts", "re.", "re", "RE")},
    "fr": {"L": ("gauche", "g.", "G"), "R": ("droit", "dt", "D")},
    "pt": {"L": ("esquerdo", "esq", "E"), "R": ("direito", "dto", "D")},
    "it": {"L": ("sinistro", "sin.", "SX"), "R": ("destro", "dx", "DX")},
}

_VIEWS: dict[str, dict[str, tuple[str, ...]]] = {
    "es": {"PA": ("PA", "dorsopalmar"), "AP": ("AP", "frente"), "LAT": ("L", "lateral", "perfil"), "OBL": ("oblicua",)},
    "ca": {"PA": ("PA", "front"), "AP": ("AP", "front"), "LAT": ("perfil", "lat"), "OBL": ("obliqua",)},
    "en": {"PA": ("PA", "pa view"), "AP": ("AP",), "LAT": ("LAT", "lateral"), "OBL": ("oblique", "OBL")},
    "de": {"PA": ("d.p.", "dp", "pa"), "AP": ("a.p.", "ap"), "LAT": ("seitl.", "seitlich"), "OBL": ("schräg",)},
    "fr": {"PA": ("face", "F"), "AP": ("face",), "LAT": ("profil", "P"), "OBL": ("oblique", "3/4")},
    "pt": {"PA": ("PA", "frente"), "AP": ("AP",), "LAT": ("perfil",), "OBL": ("oblíqua",)},
    "it": {"PA": ("PA",), "AP": ("AP",), "LAT": ("LL", "laterale"), "OBL": ("obliqua",)},
}

_STUDIES: dict[str, tuple[str, ...]] = {
    "es": ("RX {part} {side}", "Rx. de {part} {side} 2 proyecciones", "RADIOGRAFÍA DE {part}", "{part} {side} AP+L"),
    "ca": ("Rx {part} {side}", "Radiografia {part} {side}", "RX {part} F i P"),
    "en": ("XR {part} {side}", "X-ray {part} {side} 2 views", "CR {part}", "XR {side} {part} min 3 VIEWS"),
    "de": ("Rö {part} {side} 2 Eb.", "Röntgen {part} {side}", "{part} {side} in 2 Ebenen", "DX {part}"),
    "fr": ("RX {part} {side}", "Radio {part} {side} F+P", "Rx du {part} {side}", "RADIOGRAPHIE {part}"),
    "pt": ("RX {part} {side}", "Radiografia do {part} {side}", "RX {part} - 2 incidências"),
    "it": ("RX {part} {side}", "Radiografia {part} {side} 2 pr.", "RX {part} {side} (2P)"),
}

_SERIES = ("{part} {view}", "{view}", "{part} {side} {view}", "{part}, {view}", "")
_PROTOCOLS = ("{part} {view}", "{part}_{view}", "{part}", "", "", "DEFAULT", "Extremity")


def draw_words(
    rng: Generator, *, part: str, side: str, view: str, language: str, errors: float = 0.25, empty: float = 0.1
) -> Words:
    """Random text fields for an image.

    Args:
        rng: source of chance.
        part: what the text speaks of: "wrist", "hand", … or one of OTHERS.
        side: "L" or "R". view: "PA", "AP", "LAT" or "OBL".
        language: one of LANGUAGES.
        errors: chance of an error in each field; two errors come with its square.
        empty: chance that the body part says nothing.
    """
    names = _NAMES[language][part]
    told = {
        "part": _cased(str(rng.choice(names)), rng),
        "side": str(rng.choice(_SIDES[language][side])),
        "view": str(rng.choice(_VIEWS[language][view])),
    }
    body, made = str(rng.choice(names)), []
    body = body.upper() if rng.random() < 0.6 else body
    more = rng.random()  # some machines hold the name of the examination here, at any length
    if more < 0.18:
        body = f"{body} {told['side']}" if more > 0.05 else f"{body} {told['side']} {told['view']}"
    for _ in range(2):
        wrong, kind = rng.random() < errors, str(rng.choice(ERRORS))
        spoiled = spoil(body, kind, rng)
        if wrong and spoiled != body:
            body = spoiled
            made.append(kind)
        elif not wrong:
            break
    fields = []
    for patterns in (_STUDIES[language], _SERIES, _PROTOCOLS):
        text = " ".join(str(rng.choice(patterns)).format(**told).split())
        wrong, kind = rng.random() < errors, str(rng.choice(ERRORS))
        fields.append(spoil(text, kind, rng)[:64] if wrong else text)
    said = rng.random() >= empty
    study, series, protocol = fields
    return Words(language, part, body if said else "", study, series, protocol, tuple(made) if said else ())


def spoil(text: str, kind: str, rng: Generator) -> str:
    """A text with one error; short or plain ones may stay as they are."""
    letters = [k for k, c in enumerate(text) if c.isalpha()]
    if kind == "unaccented":
        return text.translate(_PLAIN)
    if kind == "mojibake":
        return text.encode("utf-8").decode("latin-1")
    if kind == "cut":
        return text[: max(4, int(rng.integers(5, 12)))].rstrip()
    if kind == "padded":
        return str(rng.choice(("{} ", "_{}", "{}.", "{}_", "*{}*", "{}  ", "{}-"))).format(text)
    if len(letters) < 5:  # a short word with a letter wrong is another word
        return text
    at = letters[int(rng.integers(1, len(letters) - 1))]
    if kind == "dropped":
        return text[:at] + text[at + 1 :]
    if kind == "doubled":
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


_PLAIN = str.maketrans("áàâãçéèêíïñóòôõöúùüäßÁÀÂÃÇÉÈÍÑÓÒÕÖÚÜÄ", "aaaaceeeiinooooouuuasAAAACEEINOOOOUUA")


def _cased(text: str, rng: Generator) -> str:
    return (text, text.upper(), text.capitalize(), text.lower())[int(rng.integers(4))]
