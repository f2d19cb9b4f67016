"""The demo's company: some three hundred people in several languages, and its nested groups.

Written as the two CSV files that an HR system would export, so that the demo reads them with the
same file connector that production uses. The same people come out every time.
"""

from __future__ import annotations

import csv
import random
import unicodedata
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "meridian.example"

# Language, given names, family names; for scripts other than Latin, each with its transliteration.
_NAMES: tuple[tuple[str, str, str], ...] = (
    (
        "en",
        "Grace Owen Isla Rhys Nora Callum Edith Jasper",
        "Ashworth Pryce Kavanagh Holloway Byrne Whitlock Drummond",
    ),
    (
        "de",
        "Jörg Käthe Anneke Till Mareike Bastian Liesl Götz",
        "Fröhlich Weißgerber Dörfler Kühnast Bräuer Holtz Säger",
    ),
    (
        "fr",
        "Maëlle Théo Océane Rémi Solène Gaël Apolline Noé",
        "Béranger Lacroix d'Estaing Chevallier Tréville Moreau",
    ),
    (
        "es",
        "Íker Nuria Álvaro Begoña Lucía Íñigo Ximena Saúl",
        "Ordóñez Peñalver Ibáñez Cañizares Quiñones Arregui",
    ),
    (
        "pl",
        "Łucja Błażej Żaneta Kacper Świętosława Jędrzej Bożena",
        "Wójtowicz Śliwa Ćwikła Dąbek Żuraw Łęcki Gąsior",
    ),
    (
        "tr",
        "Işıl Çağrı Şebnem Oğuz Gülşen İlker Ümran Barış",
        "Yıldırım Çetinkaya Özgür Şimşek Gündoğdu Ağaoğlu Uğur",
    ),
    ("vi", "Hương Đức Thảo Quân Ngân Khải Yến Tuấn", "Nguyễn Trần Phạm Đặng Huỳnh Vũ Bùi"),
    (
        "el",
        "Ελένη=Eleni Νίκος=Nikos Δάφνη=Dafni Ορέστης=Orestis",
        "Παππάς=Pappas Ζέρβα=Zerva Κόκκινος=Kokkinos",
    ),
    (
        "ja",
        "結衣=Yui 蓮=Ren 美桜=Mio 大和=Yamato 咲良=Sakura",
        "藤原=Fujiwara 長谷川=Hasegawa 西村=Nishimura 榎本=Enomoto",
    ),
    ("ar", "سلمى=Salma طارق=Tariq هدى=Huda زياد=Ziad", "النجار=Najjar الصباغ=Sabbagh الكيلاني=Kilani"),
    ("hi", "ईशान=Ishan काव्या=Kavya अद्वैत=Advait तारा=Tara", "भट्ट=Bhatt नायर=Nair चौहान=Chauhan देसाई=Desai"),
    (
        "uk",
        "Софія=Sofiia Тарас=Taras Злата=Zlata Назар=Nazar",
        "Шевчук=Shevchuk Бондаренко=Bondarenko Гнатюк=Hnatiuk",
    ),
)
_WRITTEN_OUT = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "ø": "o"})

#: Group id, name, the groups inside it. Departments hold teams; the company holds departments.
_DEPARTMENTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("g-eng", "Engineering", ("Platform", "Apps", "Data")),
    ("g-design", "Design", ("Research", "Brand")),
    ("g-sales", "Sales", ("EMEA", "Americas", "APAC")),
    ("g-ops", "Operations", ("Finance", "People", "Legal")),
    ("g-support", "Support", ("Tier 1", "Tier 2")),
)
_TITLES = ("Engineer", "Designer", "Analyst", "Specialist", "Lead", "Coordinator")


@dataclass(frozen=True, slots=True)
class DemoPerson:
    id: str
    user_name: str
    given: str
    family: str
    email: str
    title: str
    department: str
    team: str
    language: str
    active: bool


def people(count: int) -> list[DemoPerson]:
    """The first ``count`` people; person n is the same whatever the count."""
    return [_person(n) for n in range(1, count + 1)]


def write_directory(folder: Path, staff: list[DemoPerson]) -> None:
    """Write ``users.csv`` and ``groups.csv``; a group's members are ids of people and of groups."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "id",
                "userName",
                "givenName",
                "familyName",
                "email",
                "title",
                "department",
                "language",
                "active",
            ]
        )
        for p in staff:
            active = "true" if p.active else "false"
            rows.writerow(
                [p.id, p.user_name, p.given, p.family, p.email, p.title, p.department, p.language, active]
            )
    with (folder / "groups.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "displayName", "members"])
        for key, name, members in groups(staff):
            rows.writerow([key, name, ";".join(members)])


def groups(staff: list[DemoPerson]) -> list[tuple[str, str, list[str]]]:
    """Teams with people, departments with teams, the company with departments: three levels deep."""
    out: list[tuple[str, str, list[str]]] = []
    for key, name, teams in _DEPARTMENTS:
        for number, team in enumerate(teams, 1):
            out.append(
                (f"{key}-{number}", f"{name} / {team}", [p.id for p in staff if p.team == f"{key}-{number}"])
            )
        out.append((key, name, [f"{key}-{number}" for number in range(1, len(teams) + 1)]))
    out.append(("g-all", "Everybody at Meridian", [key for key, _, _ in _DEPARTMENTS]))
    return out


def _person(n: int) -> DemoPerson:
    draw = random.Random(n)  # noqa: S311 - a demo's names are no secret
    language, givens, families = draw.choice(_NAMES)
    given, given_latin = _both(draw.choice(givens.split()))
    family, family_latin = _both(draw.choice(families.split()))
    department = draw.choice(_DEPARTMENTS)
    team = draw.randrange(len(department[2])) + 1
    user_name = f"{_ascii(given_latin)}.{_ascii(family_latin)}{n}"
    return DemoPerson(
        id=f"M{n:04d}",
        user_name=user_name,
        given=given,
        family=family,
        email=f"{user_name}@{DOMAIN}",
        title=draw.choice(_TITLES),
        department=department[1],
        team=f"{department[0]}-{team}",
        language=language,
        active=draw.random() > 0.02,
    )


def _both(name: str) -> tuple[str, str]:
    written, _, latin = name.partition("=")
    return written, latin or written


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_WRITTEN_OUT)).encode("ascii", "ignore").decode()
    return "".join(c for c in plain.lower() if c.isalnum())
