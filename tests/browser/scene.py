"""Fills the database of a server under test: ``python -m tests.browser.scene``."""

import os

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    django.setup()
    from tests.monitoring import factories, learning_scene, scene
    from tests.optimization import page_scene

    factories.make_user("olga", "operator")
    factories.make_user("vera", "viewer")
    factories.make_user("ada", "admin")
    run = scene.build()
    page_scene.build(run)
    learning_scene.build(run)
    learning_scene.counterfactual(run)
    print(run.code)


if __name__ == "__main__":
    main()
