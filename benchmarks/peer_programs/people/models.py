"""What django-scim2's documentation tells to define: a user and a group with its mixins."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django_scim.models import AbstractSCIMGroupMixin, AbstractSCIMUserMixin


class Group(AbstractSCIMGroupMixin):
    name = models.CharField(max_length=254)

    @property
    def user_set(self) -> models.Manager:
        return self.people


class Person(AbstractSCIMUserMixin, AbstractUser):
    member_of = models.ManyToManyField(Group, related_name="people")

    @property
    def scim_groups(self) -> models.Manager:
        return self.member_of
