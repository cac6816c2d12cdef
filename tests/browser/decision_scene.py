"""A run decided by the real pipeline: ``python -m tests.browser.decision_scene``."""

import os

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    django.setup()
    from tests.monitoring import factories
    from tests.trades.stored_run import StoredRun, market

    factories.make_user("olga", "operator")
    stored = StoredRun(market("BTC/USDT", "ETH/USDT", n_bars=700))
    print(stored.trade(200).run.code)


if __name__ == "__main__":
    main()
