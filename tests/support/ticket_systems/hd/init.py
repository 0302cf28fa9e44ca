"""What an administrator makes by hand: a queue, custom fields, users."""

import django

django.setup()  # before any model is imported, or Django refuses

from django.contrib.auth import get_user_model  # noqa: E402 - after setup
from helpdesk.models import CustomField, Queue  # noqa: E402 - after setup

CATEGORIES = "\n".join(["reports", "errors", "screens", "tickets"])
FIELDS = {
    "category": {"data_type": "list", "list_values": CATEGORIES, "empty_selection_list": True},
    "confidence": {"data_type": "decimal", "max_length": 6, "decimal_places": 4},
    "tags": {"data_type": "varchar", "max_length": 200},
}
Queue.objects.create(slug="help", title="Help", email_address="help@localhost.local", allow_public_submission=False)
for name, options in FIELDS.items():
    CustomField.objects.create(name=name, label=name, required=False, staff_only=False, **options)
for name in ("bot", "agent"):
    user = get_user_model()(username=name, email=f"{name}@localhost.local", is_staff=True, is_superuser=True)
    user.set_password(f"{name}-pw")
    user.save()
