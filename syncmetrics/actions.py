"""Buttons on the console's pages: declared in a table, checked on the server, done by POST, recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.admin import ModelAdmin
from unfold.dataclasses import Action as ThemeAction
from unfold.dataclasses import UnfoldAction

from syncmetrics.audit import record


class ActionForm(forms.Form):
    """What an action asks for before it is done; `subject` is the object it is done to."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, subject: Any = None) -> None:
        super().__init__(data)
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended: what the person reads and what the object's history says (nothing if empty)."""

    text: str
    recorded: str = ""
    level: int = messages.SUCCESS
    url: str = ""


Perform = Callable[[HttpRequest, Any, dict[str, Any]], Outcome]


@dataclass(frozen=True, slots=True)
class Action:
    """A button on the page of an object.

    Without a form one press does it; with one, the press leads to the form. `perform` gets the request,
    the object and what the form holds, and raises ValidationError with a sentence when it cannot be
    done. `question` stands above the form, or asks where a list's menu leads to the action.
    """

    name: str
    title: str
    icon: str
    permission: str
    perform: Perform
    form: type[ActionForm] = ActionForm
    offered: Callable[[Any], bool] = field(default=lambda subject: True)
    question: str = ""
    in_lists: bool = False

    @property
    def asks(self) -> bool:
        """Whether it has a form to fill in."""
        return self.form is not ActionForm

    def may(self, request: HttpRequest) -> bool:
        """Tell whether the person may do this at all."""
        return request.user.has_perm(self.permission)


class ActingAdmin(ModelAdmin):  # type: ignore[misc]  # the theme has no types
    """Pages with actions. Every address of one is checked anew: a hidden button is no protection."""

    console_actions: tuple[Action, ...] = ()
    add_title = ""  # what the button above the list says that leads to the add page
    list_before_template = "admin/easel/list_bar.html"
    change_form_outer_before_template = "admin/easel/action_bar.html"

    def get_urls(self) -> list[URLPattern]:
        """Give each action an address below its object's."""
        own = [
            path(
                f"<path:object_id>/{action.name.replace('_', '-')}/",
                self.admin_site.admin_view(partial(self.act, action=action)),
                name=self._url_name(action),
            )
            for action in self.console_actions
        ]
        return [*own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    def act(self, request: HttpRequest, object_id: str, *, action: Action) -> HttpResponse:
        """Ask for what the action needs (GET), or do it (POST)."""
        if not action.may(request):
            raise PermissionDenied
        subject = self.get_object(request, unquote(object_id))
        if subject is None or not self.has_view_permission(request, subject):
            raise Http404
        if not action.offered(subject):
            messages.warning(request, f"{action.title}: that is not possible now.")
            return HttpResponseRedirect(self.page_of(subject))
        return self.answer(
            request,
            action.form(request.POST if request.method == "POST" else None, subject=subject),
            perform=partial(action.perform, request, subject),
            context={"title": action.title, "question": action.question, "original": subject},
            back=self.page_of(subject),
        )

    def answer(
        self,
        request: HttpRequest,
        form: ActionForm,
        *,
        perform: Callable[[dict[str, Any]], Outcome],
        context: dict[str, Any],
        back: str,
    ) -> HttpResponse:
        """Show a form, or do what it was sent for and lead to the result."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        if form.is_valid():
            try:
                outcome = perform(form.cleaned_data)
            except ValidationError as refused:
                form.add_error(None, refused)
            else:
                if outcome.recorded and (subject := context.get("original")):
                    record(request, subject, outcome.recorded)
                messages.add_message(request, outcome.level, outcome.text)
                return HttpResponseRedirect(outcome.url or back)
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
            "back": back,
            **context,
        }
        return render(request, "admin/easel/action_page.html", page)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """Add the buttons that this person may press now."""
        context["console_actions"] = [
            {"action": action, "url": self.address_of(action, obj)}
            for action in self.console_actions
            if obj and action.may(request) and action.offered(obj)
        ]
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    def get_actions_row(self, request: HttpRequest) -> list[UnfoldAction]:
        """Offer in each row's menu what its page offers; the theme's links are GET and lead to a question."""
        return [
            *super().get_actions_row(request),
            *(
                self._in_row(action)
                for action in self.console_actions
                if action.in_lists and action.may(request)
            ),
        ]

    def page_of(self, subject: Any) -> str:
        """Return the address of an object's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(subject.pk)])

    def address_of(self, action: Action, subject: Any) -> str:
        """Return the address of an action on an object."""
        return reverse(f"admin:{self._url_name(action)}", args=[quote(subject.pk)])

    def _url_name(self, action: Action) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{action.name}"

    def _in_row(self, action: Action) -> UnfoldAction:
        return UnfoldAction(
            action_name=self._url_name(action),
            method=ThemeAction([], action.title, action.name, attrs={}),
            description=action.title,
            path=action.name,
            icon=action.icon,
        )
