"""Logging in and out, one's own account, and everybody's access."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from accounts import access_views, account_views, views

urlpatterns = [
    path("login/", views.LoginPage.as_view(), name="login"),
    path("login/code/", views.login_code, name="login-code"),
    path("login/link/<str:token>/", views.login_link, name="login-link"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", account_views.account_page, name="account"),
    path("account/preferences/", account_views.preferences_change, name="account-preferences"),
    path("account/password/", account_views.password_change, name="account-password"),
    path("account/totp/start/", account_views.totp_start, name="totp-start"),
    path("account/totp/finish/", account_views.totp_finish, name="totp-finish"),
    path("account/totp/remove/", account_views.totp_remove, name="totp-remove"),
    path("account/totp/codes/", account_views.recovery_codes, name="recovery-codes"),
    path(
        "account/sessions/<int:session_id>/end/",
        account_views.own_session_end,
        name="own-session-end",
    ),
    path("access/", access_views.access_page, name="access"),
    path("access/users/add/", access_views.user_add, name="user-add"),
    path("access/users/change/", access_views.user_change, name="user-change"),
    path("access/tokens/add/", access_views.token_add, name="token-add"),
    path("access/tokens/end/", access_views.token_end, name="token-end"),
    path("access/sessions/<int:session_id>/end/", access_views.any_session_end, name="session-end"),
    path("audit/", access_views.audit_page, name="audit"),
    path("audit/export.csv", access_views.audit_csv, name="audit-csv"),
]
