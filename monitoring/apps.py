from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"

    def ready(self) -> None:
        from accounts.versioned_settings import settings_changed
        from monitoring.services import settings_tell

        settings_changed.connect(settings_tell, dispatch_uid="monitoring.settings_tell")
