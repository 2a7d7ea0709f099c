/// The one style sheet: light and dark, no web fonts, nothing loaded from elsewhere.
enum Stylesheet {
    static let css = """
        :root {
          --ground: #f6f5f1; --card: #ffffff; --ink: #1d2430; --quiet: #5a6472; --line: #dcdad3;
          --accent: #1f5f5b; --accent-ink: #ffffff; --good: #1c6b3c; --bad: #9c2f24;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #14181d; --card: #1c2229; --ink: #e8e6e1; --quiet: #a3acb8; --line: #333c46;
            --accent: #6fc3b8; --accent-ink: #10201e; --good: #7fcf9c; --bad: #f0a095;
          }
        }
        * { box-sizing: border-box; }
        body {
          margin: 0; min-height: 100vh; display: flex; flex-direction: column; align-items: center; justify-content: center;
          gap: 1.25rem; padding: 1.5rem; background: var(--ground); color: var(--ink);
          font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
        }
        .card {
          width: 100%; max-width: 27rem; padding: 2rem; background: var(--card); border: 1px solid var(--line);
          border-radius: 14px; box-shadow: 0 1px 2px rgb(0 0 0 / 6%), 0 12px 32px rgb(0 0 0 / 7%);
        }
        h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; letter-spacing: -.01em; }
        p { margin: 0 0 1rem; overflow-wrap: anywhere; }
        .eyebrow { margin: 0 0 .25rem; color: var(--accent); font-weight: 600; }
        .quiet { color: var(--quiet); font-size: .9rem; }
        .choices { list-style: none; margin: 1.5rem 0 1rem; padding: 0; display: grid; gap: .75rem; }
        .choices .quiet { margin: .4rem .1rem 0; }
        button, .button {
          display: inline-block; padding: .7rem 1.1rem; border: 1px solid var(--accent); border-radius: 9px;
          background: var(--accent); color: var(--accent-ink); font: inherit; font-weight: 600; text-decoration: none; cursor: pointer;
        }
        button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
        .choice { width: 100%; text-align: left; }
        .plain { background: transparent; color: var(--ink); border-color: var(--line); font-weight: 500; }
        .actions { display: flex; gap: .75rem; margin: 1.25rem 0 0; }
        .state { margin: 0; padding: .6rem .8rem; border: 1px solid var(--line); border-radius: 9px; }
        .state p { margin: 0 0 .25rem; }
        .state form { margin: .75rem 0 .25rem; }
        .mark { margin: 0 0 .5rem; font-size: 2rem; line-height: 1; }
        .good { color: var(--good); }
        .bad { color: var(--bad); }
        footer { color: var(--quiet); font-size: .85rem; }

        """
}
