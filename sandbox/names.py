"""The words that generated people, courses and texts are made of, many outside ASCII on purpose."""

from __future__ import annotations

# The address in html_url fields: fixed, so that rows do not depend on the port.
WEB_ADDRESS = "https://canvas.example.edu"

# Names are spelled as people spell them: letters that look alike are meant.
# ruff: noqa: RUF001
FIRST_NAMES = (
    "Amélie", "Björn", "Chiara", "Dawit", "Émile", "Fatima", "Gülşen", "Hiroko", "Ines", "José",
    "Kwame", "Łucja", "Mário", "Nguyễn", "Oluwaseun", "Praveen", "Quinn", "Renée", "Søren", "Tamsin",
    "Uzma", "Václav", "Wen", "Xóchitl", "Yusuf", "Zoë", "Александр", "Ελένη", "さくら", "محمد",
)  # fmt: skip
LAST_NAMES = (
    "Ångström", "Brontë", "Çelik", "D'Angelo", "Ekström", "Fernández", "Gómez", "Højgaard", "Ito",
    "Jiménez",
    "Kowalski", "L'Écuyer", "Müller", "Nuñez", "O'Brien", "Pérez-Reverte", "Qureshi", "Rossi", "Šimić",
    "Tanaka", "Übel", "van der Berg", "Wójcik", "Xu", "Yıldız", "Zhang", "Петрова", "Παπαδόπουλος", "田中",
    "الهاشمي",
)  # fmt: skip
SUBJECTS = (
    "Computer Science", "Linear Algebra", "Organic Chemistry", "Modern History", "Microeconomics",
    "Phonetics",
    "Thermodynamics", "Statistics", "Philosophy of Mind", "Molecular Biology", "Music Theory",
    "Géographie humaine", "Astronomy", "Comparative Law", "Einführung in die Logik", "Databases",
)  # fmt: skip
TASKS = (
    "Essay",
    "Quiz",
    "Lab report",
    "Problem set",
    "Reading response",
    "Project milestone",
    "Übung",
    "Exposé",
)
GROUPS = ("Homework", "Quizzes", "Labs & projects", "Final exam", "Participation", "Extra credit")
PRONOUNS = (None, None, None, "she/her", "he/him", "they/them")
TIME_ZONES = ("America/Denver", "Europe/Zurich", "Asia/Tokyo", "America/Sao_Paulo")
SENTENCES = (
    "The measured values agree with the model within two standard deviations.",
    "Im zweiten Teil wird die Annahme geprüft, daß beide Größen unabhängig sind.",
    "A counter-example shows that the condition is necessary but not sufficient.",
    "Les résultats diffèrent de ceux de l'étude précédente; voir l'annexe.",
    "Quotes \"like these\", an ampersand & a <tag> must survive the journey.",
    "実験の手順は教科書の第三章に従った。",
    "The source on which this rests was written a century after the events.",
    "Running time grows with n log n; the constant hides in the comparison.",
)  # fmt: skip
