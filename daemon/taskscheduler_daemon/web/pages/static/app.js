// What the pages do beyond HTML: follow changes, keep a selection, complete filters. Every page works without it.
"use strict";
(() => {
  const doc = document, root = doc.documentElement;
  const store = {
    get: (name) => { try { return localStorage.getItem("taskscheduler." + name); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem("taskscheduler." + name, value); } catch { /* private window */ } },
  };
  const $ = (selector, within = doc) => within.querySelector(selector);
  const $$ = (selector, within = doc) => [...within.querySelectorAll(selector)];

  // The colours: before the first paint
  const THEMES = ["auto", "light", "dark"];
  const theme = (name) => {
    if (name === "light" || name === "dark") root.dataset.theme = name; else delete root.dataset.theme;
  };
  theme(store.get("theme"));
  root.classList.add("js");

  const themeButton = () => {
    const button = $("#theme");
    const show = (name) => { theme(name); $("span", button).textContent = name; button.setAttribute("aria-label", "Colours: " + name); };
    let now = store.get("theme") || "auto";
    button.hidden = false;
    show(now);
    button.addEventListener("click", () => {
      now = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
      store.set("theme", now);
      show(now);
    });
  };

  // Live: the server says that something changed; then the page is fetched again and merged into what is shown
  const EVERY = 1000, SLOWLY = 10000;
  class Live {
    constructor(main, button) {
      this.main = main;
      this.button = button;
      this.changed = false;
      this.on = store.get("live") !== "off";
      this.loading = null;
      this.next = 0;
      this.misses = 0;
      button.hidden = false;
      button.addEventListener("click", () => { this.on = !this.on; store.set("live", this.on ? "on" : "off"); this.changed = true; this.look(); });
      doc.addEventListener("visibilitychange", () => { this.connect(); this.look(); });
      addEventListener("pagehide", () => this.close());
      addEventListener("pageshow", (event) => { if (event.persisted) { this.changed = true; this.connect(); } });
      this.connect();
      this.look();
      setInterval(() => this.look(), EVERY);
    }

    connect() {
      if (doc.hidden) { this.close(); return; }
      if (this.source) return;
      this.source = new EventSource(doc.body.dataset.root + "/live?" + this.main.dataset.live);
      this.source.addEventListener("change", () => { this.changed = true; });
      this.source.onopen = () => { this.misses = 0; this.changed = true; };
      this.source.onerror = () => {
        this.misses += 1;
        if (this.source.readyState === EventSource.CLOSED) { this.close(); setTimeout(() => this.connect(), SLOWLY); }
      };
    }

    close() { if (this.source) { this.source.close(); this.source = null; } }

    // Why nothing may change under the reader's hands now; empty if it may
    held() {
      if (!this.on) return "paused";
      if (doc.hidden) return "hidden";
      if ($(".pick:checked", this.main)) return "paused: rows are selected";
      const text = getSelection();
      if (text && !text.isCollapsed && this.main.contains(text.anchorNode)) return "paused: text is selected";
      const typed = $$("input:not([type=hidden]):not([type=checkbox]), textarea", this.main).some((one) => one.value !== one.defaultValue);
      const first = (select) => [...select.options].find((option) => option.defaultSelected) || select.options[0];
      const chosen = $$("select", this.main).some((one) => one.value !== first(one).value);
      if (typed || chosen) return "paused: something is typed";
      return "";
    }

    look() {
      const why = this.held(), away = this.misses > 1;
      const state = why ? "paused" : away ? "away" : "live";
      const text = why || (away ? "not connected" : "live");
      if (this.button.textContent !== text) this.button.textContent = text;
      this.button.dataset.state = state;
      this.button.setAttribute("aria-pressed", String(this.on));
      const now = performance.now();
      if (!why) this.follow();
      if (why || this.loading || now < this.next) return;
      if (this.changed || now > this.last + SLOWLY || this.last === undefined) this.load(now);
    }

    async load(begun) {
      if (this.last === undefined) { this.last = begun; this.changed = false; return; }
      this.changed = false;
      this.last = begun;
      this.loading = true;
      const text = await this.fetched();
      // a slow server, or many readers, are asked more seldom
      this.next = performance.now() + Math.max(0, 4 * (performance.now() - begun) - EVERY);
      this.loading = null;
      const page = new DOMParser().parseFromString(text, "text/html"), fresh = $("main", page);
      this.misses = fresh ? 0 : this.misses + 1;
      if (fresh && this.held()) this.changed = true;
      else if (fresh) { doc.title = page.title; merge(this.main, fresh); }
    }

    async fetched(address = location.href) {
      try {
        const answer = await fetch(address, { headers: { "X-Live": "1" } });
        return answer.ok && !answer.redirected ? await answer.text() : "";
      } catch { return ""; }
    }

    // The log of a job that runs: only the lines that follow those that are shown
    async follow() {
      const log = $("#log [data-more]", this.main), at = log && log.dataset.at;
      if (!log || this.following) return;
      this.following = true;
      const page = new DOMParser().parseFromString(await this.fetched(log.dataset.more + "&after=" + at), "text/html");
      this.following = false;
      const fresh = $("pre", page);
      // else the page was fetched meanwhile, or the reader selects something
      if (fresh && log.isConnected && log.dataset.at === at && !this.held()) append(log, fresh);
    }
  }

  const merge = (main, fresh) => {
    const log = $("#log [data-more]", main), follows = log && isAtEnd(log);
    Idiomorph.morph(main, [...fresh.childNodes], {
      morphStyle: "innerHTML",
      ignoreActiveValue: true,
      callbacks: {
        beforeNodeMorphed: (old) => !(old.nodeType === 1 && (old.hasAttribute("data-keep") || old.id === "notice")),
        beforeNodeRemoved: (old) => !(old.nodeType === 1 && old.hasAttribute("data-keep")),
        beforeAttributeUpdated: (name, element) => !isOurs(name, element),
      },
    });
    ready(main);
    if (follows && log.isConnected) toEnd(log);
  };

  // What scripts or the reader have set, and the server does not know
  const isOurs = (name, element) =>
    (name === "open" && element.tagName === "DETAILS")
    || (name === "hidden" && element.matches("[data-copy], #pickall"))
    || (/^(role|aria-.*)$/.test(name) && element.matches("input[data-words]"));

  const LINES = 200; // as many as the server shows
  const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const toEnd = (log) => { log.scrollTop = log.scrollHeight; };

  const append = (log, fresh) => {
    const follows = isAtEnd(log), lines = $$("span", fresh);
    log.dataset.at = fresh.dataset.at;
    if (!lines.length) return;
    $$("i", log).forEach((one) => one.remove());
    log.append(...lines);
    while (log.childElementCount > LINES) log.firstElementChild.remove();
    if (follows) toEnd(log);
  };

  // A selection of rows: how many, all of a page, and a range with Shift
  const selection = (main) => {
    const all = $("#pickall");
    const show = () => {
      const boxes = $$(".pick", main), count = boxes.filter((box) => box.checked).length, label = $("#picked");
      if (label) label.textContent = count ? count + " selected:" : "Selected:";
      const head = $("#pickall");
      if (head) { head.checked = count > 0 && count === boxes.length; head.indeterminate = count > 0 && count < boxes.length; }
      $$("button[name=selected]", main).forEach((button) => { button.disabled = count === 0; });
    };
    if (all) all.hidden = false;
    show();
    if (main.dataset.picking) return;
    main.dataset.picking = "on";
    let last = null;
    main.addEventListener("click", (event) => {
      if (!event.target.matches(".pick")) return;
      const boxes = $$(".pick", main), at = boxes.indexOf(event.target);
      if (event.shiftKey && last !== null) boxes.slice(Math.min(at, last), Math.max(at, last) + 1).forEach((box) => { box.checked = event.target.checked; });
      last = at;
    });
    main.addEventListener("change", (event) => {
      if (event.target.id === "pickall") $$(".pick", main).forEach((box) => { box.checked = event.target.checked; });
      show();
    });
    addEventListener("pageshow", show);
  };

  const copies = (main) => $$("[data-copy]", main).forEach((button) => {
    if (!button.hidden || !(navigator.clipboard || doc.execCommand)) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy;
      try { await navigator.clipboard.writeText(text); } catch {
        const area = doc.createElement("textarea"); // plain HTTP has no clipboard
        area.value = text;
        button.after(area);
        area.select();
        doc.execCommand("copy");
        area.remove();
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });

  // Completion of the filter language: keys first, then the values of a key
  class Completion {
    constructor(input) {
      this.input = input;
      this.list = doc.createElement("ul");
      Object.assign(this.list, { id: input.id + "-words", className: "suggest", hidden: true });
      this.list.setAttribute("role", "listbox");
      this.list.setAttribute("aria-label", "Completions");
      this.list.setAttribute("data-keep", "");
      input.parentNode.append(this.list);
      for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", this.list.id]]) input.setAttribute(name, value);
      input.addEventListener("focus", () => this.load());
      input.addEventListener("input", () => this.show());
      input.addEventListener("keydown", (event) => this.key(event));
      input.addEventListener("blur", () => setTimeout(() => this.hide(), 150));
      this.list.addEventListener("mousedown", (event) => { event.preventDefault(); const item = event.target.closest("li"); if (item) this.take(item); });
    }

    async load() {
      if (this.words) return;
      const before = this.input.value;
      this.words = {};
      try { const answer = await fetch(this.input.dataset.words); this.words = answer.ok ? await answer.json() : {}; } catch { this.words = null; }
      if (this.input.value !== before && doc.activeElement === this.input) this.show(); // for what was typed meanwhile
    }

    // The word before the cursor, and where it begins
    word() {
      const before = this.input.value.slice(0, this.input.selectionStart), text = before.match(/[^\s"]*$/)[0];
      return { text, from: before.length - text.length };
    }

    found() {
      const { text } = this.word(), [key, value] = text.split(/:(.*)/s);
      if (!this.words || !this.words.keys) return [];
      if (value === undefined) {
        return this.words.keys.filter(([name]) => name.startsWith(key.toLowerCase()) && key !== "").map(([name, about]) => ({ text: name + ":", about, whole: name + ":" }));
      }
      const typed = value.split(",").pop(), kept = text.slice(0, text.length - typed.length);
      return (this.words.values[key] || []).filter((one) => one.toLowerCase().startsWith(typed.toLowerCase()) && one !== typed)
        .map((one) => ({ text: one, about: "", whole: kept + (/[\s",]/.test(one) ? JSON.stringify(one) : one) }));
    }

    show() {
      const found = this.found().slice(0, 12);
      this.list.replaceChildren(...found.map((one, index) => {
        const item = doc.createElement("li"), about = doc.createElement("span");
        Object.assign(item, { id: this.list.id + index, textContent: one.text });
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.dataset.whole = one.whole;
        about.textContent = one.about;
        item.append(about);
        return item;
      }));
      this.list.hidden = !found.length;
      this.input.setAttribute("aria-expanded", String(!!found.length));
      this.input.removeAttribute("aria-activedescendant");
    }

    hide() { this.list.hidden = true; this.input.setAttribute("aria-expanded", "false"); this.input.removeAttribute("aria-activedescendant"); }

    move(by) {
      const items = [...this.list.children], at = items.findIndex((item) => item.ariaSelected === "true");
      const to = at < 0 ? (by > 0 ? 0 : items.length - 1) : (at + by + items.length) % items.length;
      items.forEach((item, index) => item.setAttribute("aria-selected", String(index === to)));
      items[to].scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", items[to].id);
    }

    key(event) {
      if (this.list.hidden) { if (event.key === "ArrowDown") { this.load().then(() => this.show()); } return; }
      const chosen = $("[aria-selected=true]", this.list);
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); this.move(event.key === "ArrowDown" ? 1 : -1); }
      else if (event.key === "Escape") { event.preventDefault(); this.hide(); }
      else if ((event.key === "Enter" || event.key === "Tab") && chosen) { event.preventDefault(); this.take(chosen); }
      else if (event.key === "Tab") this.hide();
    }

    take(item) {
      const { from } = this.word(), whole = item.dataset.whole, value = this.input.value, end = this.input.selectionStart;
      const space = whole.endsWith(":") ? "" : " ";
      this.input.value = value.slice(0, from) + whole + space + value.slice(end).trimStart();
      this.input.setSelectionRange(from + whole.length + space.length, from + whole.length + space.length);
      this.input.focus();
      this.show();
    }
  }

  // "/" leads to the filter, as in many tools
  const keys = () => doc.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    const field = $("#q") || $("form[role=search] input:not([type=hidden])");
    if (field) { event.preventDefault(); field.focus(); }
  });

  // The value under the pointer, beside the name of its chart
  const pointing = (main) => main.addEventListener("pointerover", (event) => {
    const card = event.target.closest(".charts .card"), hit = event.target.closest(".hit");
    if (!card) return;
    let said = $("small", card);
    if (!said) { said = doc.createElement("small"); $("h2", card).append(" ", said); }
    if (said.dataset.said === undefined) said.dataset.said = said.textContent;
    said.textContent = hit ? hit.textContent : said.dataset.said;
  });

  const ready = (main) => {
    selection(main);
    copies(main);
    $$("input[data-words]", main).forEach((input) => { if (!input.hasAttribute("role")) new Completion(input); });
  };

  doc.addEventListener("DOMContentLoaded", () => {
    const main = $("#main");
    themeButton();
    keys();
    pointing(main);
    ready(main);
    const current = $(".pages [aria-current]");
    if (current) { const strip = $(".pages"); strip.scrollLeft = current.offsetLeft - strip.clientWidth / 2 + current.clientWidth / 2; }
    $$("#log [data-more]", main).forEach(toEnd);
    if (main.hasAttribute("data-live")) new Live(main, $("#live"));
  });
})();
