// Upgrades the picture of a graph to one in which backward is stepped through. Everything it shows it computes from the
// values and local derivatives in the JSON beside it, in the engine's order, so that it ends at the engine's gradients.
(() => {
"use strict";
const SVG = "http://www.w3.org/2000/svg";
for (const root of document.querySelectorAll("[data-micrograd]:not([data-ready])")) {
  const json = root.querySelector("script[type='application/json']");
  if (json) { root.dataset.ready = ""; start(root, JSON.parse(json.textContent)); }
}

function start(root, D) {
  const N = D.nodes.map(([kind, text, op, data, group, parents, locals]) => ({
    kind: D.kinds[kind], text: D.texts[text], op: D.ops[op], data: Number(data), group, parents, locals: locals.map(Number) }));
  const groups = D.groups.map(([text, kind, parent, open]) => ({ text: D.texts[text], kind, parent, open: !!open, size: 0, parts: 0 }));
  const last = N.length - 1, steps = [], consumers = N.map(() => []), total = new Int32Array(N.length);
  let unnamed = 0;
  N.forEach((n, i) => {
    for (let g = n.group; g >= 0; g = groups[g].parent) groups[g].size++;
    if (n.group >= 0) groups[n.group].parts++;
    if (n.text.length) n.name = n.text;
    else n.name = n.kind === "constant" ? short(n.data) : "v" + ++unnamed;
    n.counts = n.kind !== "constant" && n.kind !== "input";
  });
  for (const g of groups) if (g.parent >= 0) groups[g.parent].parts++;
  for (let i = last; i >= 0; i--) {
    if (N[i].parents.length) steps.push(i);
    N[i].parents.forEach((p, k) => { if (N[p].counts) { consumers[p].push([i, k]); total[p]++; } });
  }

  // -- the backward pass, up to a step

  let step = 0, grad, arrived, done;
  function pass() {
    grad = new Float64Array(N.length); arrived = new Int32Array(N.length); done = new Uint8Array(N.length);
    grad[last] = 1;
    for (let s = 0; s < step; s++) {
      const i = steps[s], n = N[i];
      done[i] = 1;
      n.parents.forEach((p, k) => { if (N[p].counts) { grad[p] += grad[i] * n.locals[k]; arrived[p]++; } });
    }
  }
  const final = i => arrived[i] === total[i];

  // -- paths: their number, and the three largest products, from every value to the output

  let paths;
  function findPaths() {
    paths = N.map(() => ({ count: 0n, top: [] }));
    paths[last] = { count: 1n, top: [{ product: 1, edge: null, rest: null }] };
    for (let i = last - 1; i >= 0; i--) for (const [c, k] of consumers[i]) {
      const local = N[c].locals[k];
      paths[i].count += paths[c].count;
      for (const rest of paths[c].top) {
        const size = p => p.product === p.product ? Math.abs(p.product) : Infinity;
        const path = { product: local * rest.product, edge: [c, k], rest }, top = paths[i].top;
        const at = top.findIndex(other => size(other) < size(path));
        top.splice(at < 0 ? top.length : at, 0, path);
        top.length = Math.min(top.length, 3);
      }
    }
  }
  function sumOverPaths(i) {  // one product after the other where they can be counted, else along the graph
    if (paths[i].count <= 500n) {
      let sum = 0;
      const stack = [[i, 1]];
      while (stack.length) {
        const [at, product] = stack.pop();
        if (at === last) sum += product;
        else for (const [c, k] of consumers[at]) stack.push([c, product * N[c].locals[k]]);
      }
      return sum;
    }
    const sums = new Map([[last, 1]]);
    for (let j = last - 1; j >= i; j--) {
      let sum = 0;
      for (const [c, k] of consumers[j]) sum += (sums.get(c) || 0) * N[c].locals[k];
      sums.set(j, sum);
    }
    return sums.get(i);
  }

  // -- the page around the picture

  const make = (name, attributes = {}, ...inside) => {
    const e = document.createElement(name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    e.append(...inside);
    return e;
  };
  const draw = (name, attributes, parent) => {
    const e = document.createElementNS(SVG, name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    if (parent) parent.append(e);
    return e;
  };
  const button = (text, label, act) => {
    const b = make("button", { type: "button", title: label, "aria-label": label }, text);
    b.addEventListener("click", act);
    return b;
  };
  const slider = make("input", { type: "range", min: 0, max: steps.length, value: 0, "aria-label": "Step of the backward pass" });
  const count = make("output");
  const play = button("▶ play", "Play the backward pass", () => timer ? stop() : run());
  const foldAll = button("fold all", "Fold everything", () => { groups.forEach(g => { g.open = false; }); arrange(); });
  const unfold = button("unfold", "Unfold every fold by one level", unfoldLevel);
  const bar = make("div", { class: "mg-bar", role: "toolbar", "aria-label": "Steps of the backward pass" },
    button("⏮", "To the start", () => go(0)), button("◀", "One step back", () => go(step - 1)),
    button("▶", "One step on", () => go(step + 1)), button("⏭", "To the end", () => go(steps.length)), play, slider, count,
    ...(groups.length ? [foldAll, unfold] : []));
  const svg = draw("svg", { role: "group", "aria-label": D.title + ": boxes in order of evaluation; up and down to move" });
  const zoomBar = make("div", { class: "mg-zoom" }, button("+", "Zoom in", () => zoom(0.8)),
    button("−", "Zoom out", () => zoom(1.25)), button("⤢", "Show everything", () => fit()));
  const view = make("div", { class: "mg-view" }, svg, zoomBar);
  const told = make("div", { role: "region", "aria-live": "polite", "aria-label": "This step" });
  const info = make("div", { role: "region", "aria-label": "The chosen value" });
  const picture = root.querySelector("img");
  picture.hidden = true;
  picture.style.display = "none";
  picture.after(bar, view, make("div", { class: "mg-panels" }, told, info));

  function short(x) {
    if (!Number.isFinite(x)) return x !== x ? "nan" : x > 0 ? "∞" : "−∞";
    let s = String(Number(x.toPrecision(4)));
    if (Math.abs(x) >= 1e4 || x && Math.abs(x) < 1e-4) s = x.toExponential(3).replace(/\.?0+e/, "e");
    return s.replace(/-/g, "−");
  }
  const plain = text => typeof text === "string" ? text : text.map(([t, level]) => (level < 0 ? "_" : level ? "^" : "") + t).join("");
  const name = i => plain(N[i].name);
  function math(parent, text) {  // the text as mathematics in HTML; never as markup
    if (typeof text === "string") parent.append(text);
    else for (const [t, level] of text) parent.append(level ? make(level < 0 ? "sub" : "sup", {}, t) : t);
    return parent;
  }
  const symbol = i => math(make("i"), N[i].name);
  const g = i => make("span", {}, "g[", symbol(i), "]");
  const line = (...inside) => make("p", {}, ...inside);
  const red = x => make("b", { class: "mg-g", title: String(x) }, short(x));
  const place = i => {
    const names = [];
    for (let k = N[i].group; k >= 0; k = groups[k].parent) names.unshift(plain(groups[k].text));
    return names.join(" / ");
  };
  function share(i) {  // how much of a gradient has arrived
    if (total[i] === 0) return "the output: the pass starts with 1";
    return final(i) ? `✓ final, ${arrived[i]} of ${total[i]} arrived` : `${arrived[i]} of ${total[i]} arrived, ${total[i] - arrived[i]} pending`;
  }

  function tell() {
    told.replaceChildren();
    if (step === 0) {
      told.append(line("The pass starts at the output: ", g(last), " = ", red(1), "."),
        line(make("span", { class: "mg-quiet" }, "Each step takes one value whose gradient is final and hands it on to the "
          + "values it was computed from, times the local derivative. → and ← step; ↑ and ↓ visit the boxes.")));
      return;
    }
    const i = steps[step - 1], n = N[i], list = make("ul");
    told.append(line(make("b", {}, `Step ${step}: `), symbol(i), n.op ? ` (${n.op})` : "", " hands on ", g(i), " = ", red(grad[i])));
    const where = place(i);
    if (where) told.append(line(make("span", { class: "mg-quiet" }, where)));
    const before = new Map();  // what had arrived before this step, and in the lines above
    n.parents.forEach((p, k) => {
      if (!N[p].counts) return;
      if (!before.has(p)) before.set(p, [0, n.parents.filter(q => q === p).length]);
      list.append(make("li", {}, g(p), " += ", g(i), " · local = ", `${short(grad[i])} · ${short(n.locals[k])} = `,
        red(grad[i] * n.locals[k]), "  →  ", g(p), " = ", red(grad[p]), " ", make("span", { class: "mg-quiet" }, `(${share(p)})`)));
    });
    told.append(list.children.length ? list : line("Its operands are constants: nothing to hand on."));
  }

  function inform(b) {
    info.replaceChildren();
    if (!b) { info.append(make("span", { class: "mg-quiet" }, "Point at a box, or move to it with ↑ ↓, to see its gradient as a sum over paths.")); return; }
    const chips = k => {
      const p = make("p");
      for (; k >= 0; k = groups[k].parent) {
        const own = k;
        p.append(button("fold " + plain(groups[k].text), "Fold " + plain(groups[k].text), () => { groups[own].open = false; arrange(own, true); }), " ");
      }
      if (p.children.length) info.append(p);
    };
    if (b.fold >= 0) {
      const f = groups[b.fold];
      info.append(line(make("b", {}, math(make("span"), f.text)), ` stands for ${f.size} values.`),
        line(make("span", { class: "mg-quiet" }, "Click it, or press Enter, to unfold it.")));
      chips(f.parent);
      return;
    }
    const i = b.node, n = N[i], where = place(i);
    info.append(line(make("b", {}, symbol(i)), ` ${n.op || n.kind}`, where ? make("span", { class: "mg-quiet" }, ` · ${where}`) : "",
      make("br"), "value ", make("span", { title: String(n.data) }, short(n.data))));
    if (!n.counts) info.append(line("A constant: it has no gradient."));
    else {
      if (!paths) findPaths();
      const { count, top } = paths[i], sum = sumOverPaths(i);
      const d = line("∂", symbol(last), "/∂", symbol(i), " = ");
      const terms = make("span", { class: "mg-sum", "data-sum": sum, "data-paths": count });
      if (count > 1n) {
        top.forEach((path, k) => terms.append(k ? " + " : "", short(path.product)));
        if (count > 3n) terms.append(" + …");
        terms.append(" = ");
      }
      terms.append(red(sum));
      d.append(terms);
      info.append(d, line(count === 1n ? "One path leads to the output." : `A sum over ${count.toLocaleString("en")} paths; `
        + (count > 3n ? "the three largest products:" : "their products:")));
      const list = make("ul");
      for (const path of top) {
        const ways = [], factors = [];
        for (let at = path; at.edge; at = at.rest) { ways.push(at.edge[0]); factors.push(short(N[at.edge[0]].locals[at.edge[1]])); }
        if (!factors.length) continue;
        const cut = xs => xs.length > 8 ? [...xs.slice(0, 4), "…", ...xs.slice(-3)] : xs, li = make("li", {}, symbol(i));
        for (const at of cut(ways)) li.append(" → ", at === "…" ? at : symbol(at));
        li.append(": " + cut(factors).join(" · ") + (factors.length > 1 ? " = " : ""), ...(factors.length > 1 ? [red(path.product)] : []));
        list.append(li);
      }
      info.append(list);
    }
    chips(n.group);
  }

  // -- which boxes there are, and where they go: the same layered layout as in layout.py

  let boxes = [], edges = [], active = null, size = [1, 1];
  function visibleBox(i) {
    let closed = -1;
    for (let k = N[i].group; k >= 0; k = groups[k].parent) if (!groups[k].open) closed = k;
    return closed;
  }
  const measure = document.createElement("canvas").getContext("2d");
  function wide(text, font) {
    measure.font = font + " Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif";
    const flat = typeof text === "string" ? text : text.map(([t]) => t).join("");
    return measure.measureText(flat).width + (typeof text === "string" ? 0 : 4);
  }

  function collect() {
    const byFold = new Map(), boxOf = [];
    boxes = [];
    N.forEach((n, i) => {
      const fold = visibleBox(i);
      let b = fold >= 0 ? byFold.get(fold) : null;
      if (!b) {
        b = { fold, node: fold >= 0 ? -1 : i, members: [], ins: [], outs: [] };
        boxes.push(b);
        if (fold >= 0) byFold.set(fold, b);
      }
      b.members.push(i);
      boxOf.push(b);
    });
    const found = new Map();
    boxes.forEach((b, k) => { b.index = k; });
    N.forEach((n, i) => n.parents.forEach((p, k) => {
      const from = boxOf[p], to = boxOf[i];
      if (from === to) return;
      const folded = from.fold >= 0 || to.fold >= 0, key = `${from.index} ${to.index} ${folded ? "" : k}`;
      let e = found.get(key);
      if (!e) {
        e = { from, to, port: to.ins.length, all: [], live: false };
        found.set(key, e);
        from.outs.push(e); to.ins.push(e);
      }
      e.all.push([i, k]);
      e.live = e.live || N[p].counts;
    }));
    edges = [...found.values()];
    // Sources first; ties by the last member.
    const waiting = boxes.map(b => new Set(b.ins.map(e => e.from)).size), order = [], ready = boxes.filter(b => !waiting[b.index]);
    const lastOf = b => b.members[b.members.length - 1];
    ready.sort((a, b) => lastOf(b) - lastOf(a));
    while (ready.length) {
      const b = ready.pop();
      order.push(b);
      for (const t of new Set(b.outs.map(e => e.to))) if (--waiting[t.index] === 0) {
        let at = ready.length;
        while (at > 0 && lastOf(ready[at - 1]) < lastOf(t)) at--;
        ready.splice(at, 0, t);
      }
    }
    boxes = order;
    for (const b of boxes) {
      const n = N[b.node];
      b.kind = b.fold >= 0 ? "fold" : n.kind;
      b.text = b.fold >= 0 ? groups[b.fold].text : n.kind === "constant" && !n.text.length ? "" : n.name;
      const up = b.fold >= 0 ? groups[groups[b.fold].parent] : null;
      b.tag = b.fold >= 0 ? (up && up.kind !== "gap" ? plain(up.text) + ", " : "") + `${b.members.length} values` : n.op || n.kind;
      b.bare = b.fold < 0 && n.kind === "constant" && !n.text.length;
      const top = wide(b.text, "bold 13px") + wide(b.tag, "10px") + 14;
      const bottom = b.fold >= 0 ? 110 : wide(short(n.data), "11.5px") + (n.counts ? 92 + 14 * (total[b.node] > 9) : 0);
      b.w = b.bare ? Math.max(bottom, 20) + 18 : Math.max(top, bottom) + 22;
      b.h = b.bare ? 24 : 42;
      b.pitch = b.fold >= 0 ? Math.min(15, 32 / Math.max(b.ins.length, 1)) : 15;
      b.h = Math.max(b.h, b.ins.length * b.pitch + 4);
      b.shift = b.ins.map((_, k) => (k - (b.ins.length - 1) / 2) * b.pitch);
    }
  }

  function layout() {
    const count = boxes.length, items = boxes.map(b => ({ box: b, ins: [], outs: [], y: 0, h: b.h }));
    boxes.forEach((b, k) => { b.index = k; b.rank = 0; });
    for (let k = count - 1; k >= 0; k--) for (const e of boxes[k].outs) boxes[k].rank = Math.max(boxes[k].rank, e.to.rank + 1);
    const most = Math.max(...boxes.map(b => b.rank), 0);
    const columns = Array.from({ length: most + 1 }, () => []);
    boxes.forEach((b, k) => { b.column = most - b.rank; items[k].column = b.column; });
    const slots = new Map(), join = (a, b, shift, part) => { a.outs.push([b, shift, part]); b.ins.push([a, shift, part]); };
    for (const b of boxes) {  // slots in which long edges pass a column, shared by all edges from one box
      const far = Math.max(b.column, ...b.outs.map(e => e.to.column)), own = [];
      for (let c = b.column + 1; c < far; c++) {
        const s = { box: null, ins: [], outs: [], y: 0, h: 0, column: c };
        join(own.length ? own[own.length - 1] : items[b.index], s, 0, 0);
        own.push(s); items.push(s);
      }
      slots.set(b, own);
      for (const e of b.outs) {
        const before = e.to.column - b.column - 2;
        join(before >= 0 ? own[before] : items[b.index], items[e.to.index], e.to.shift[e.port], (e.port + 0.5) / e.to.ins.length - 0.5);
      }
    }
    const seen = new Set(), stack = [items[count - 1]];
    while (stack.length) {  // the first order: from the output to the leaves, port by port
      const item = stack.pop();
      if (seen.has(item)) continue;
      seen.add(item);
      item.place = columns[item.column].push(item) - 1;
      for (let k = item.ins.length - 1; k >= 0; k--) stack.push(item.ins[k][0]);
    }
    const at = ([o, , part], mine) => o.place + (mine ? 0 : part);
    const crossings = () => {
      let sum = 0;
      for (const column of columns) {
        const met = [];
        for (const item of column) for (const end of item.outs.map(o => at(o)).sort((a, b) => a - b)) {
          let low = 0, high = met.length;
          while (low < high) { const m = (low + high) >> 1; if (met[m] <= end) low = m + 1; else high = m; }
          sum += met.length - low;
          met.splice(low, 0, end);
        }
      }
      return sum;
    };
    let best = columns.map(c => [...c]), fewest = crossings();
    for (let sweep = 0; sweep < (items.length < 600 ? 12 : 4) && fewest; sweep++) {
      const right = sweep % 2 === 0;
      for (const column of right ? [...columns].reverse() : columns) {
        for (const item of column) {
          const ends = (right ? item.outs : item.ins).map(o => at(o, !right)).sort((a, b) => a - b), half = ends.length >> 1;
          item.want = !ends.length ? item.place : ends.length % 2 ? ends[half] : (ends[half - 1] + ends[half]) / 2;
        }
        column.sort((a, b) => a.want - b.want || a.place - b.place);
        column.forEach((item, k) => { item.place = k; });
      }
      const now = crossings();
      if (now < fewest) { fewest = now; best = columns.map(c => [...c]); }
    }
    for (const column of best) {
      let y = 0;
      column.forEach((item, k) => {
        const gap = k ? item.box && column[k - 1].box ? 18 : item.box || column[k - 1].box ? 11 : 7 : 0;
        y += k ? gap + (item.h + column[k - 1].h) / 2 : 0;
        item.floor = y;
      });
      for (const item of column) item.y = item.floor - y / 2;
    }
    for (let turn = 0; turn < 8; turn++) for (const column of turn % 2 ? best : [...best].reverse()) {
      const pools = [];  // least squares under the order: pool adjacent violators
      for (const item of column) {
        let near = turn % 2 ? item.ins : item.outs, sum = 0, weight = 0;
        const both = turn > 5 || !near.length;
        const add = (list, sign) => { for (const [o, shift] of list) { const w = 1 + (item.box ? 0 : 3) + (o.box ? 0 : 3); weight += w; sum += w * (o.y + sign * shift); } };
        if (both || !(turn % 2)) add(item.outs, 1);
        if (both || turn % 2) add(item.ins, -1);
        let pool = { mean: (weight ? sum / weight : item.y) - item.floor, weight: weight || 0.1, items: [item] };
        while (pools.length && pools[pools.length - 1].mean > pool.mean) {
          const other = pools.pop(), w = other.weight + pool.weight;
          pool = { mean: (other.mean * other.weight + pool.mean * pool.weight) / w, weight: w, items: [...other.items, ...pool.items] };
        }
        pools.push(pool);
      }
      for (const pool of pools) for (const item of pool.items) item.y = pool.mean + item.floor;
    }
    const room = columns.map(() => 0), labels = columns.map(() => 14), steep = columns.map(() => 0);
    for (const b of boxes) room[b.column] = Math.max(room[b.column], b.w);
    for (const b of boxes) if (!b.bare) b.w = Math.max(...boxes.filter(o => o.column === b.column && !o.bare).map(o => o.w), 0) || b.w;
    for (const e of edges) {
      e.text = e.all.length === 1 ? e.live ? short(N[e.all[0][0]].locals[e.all[0][1]]) : "" : e.to.ins.length < 3 ? "×" + e.all.length : "";
      if (e.text) labels[e.to.column] = Math.max(labels[e.to.column], wide(e.text, "10px") + 16);
    }
    for (const item of items) for (const [o, shift] of item.outs) steep[o.column] = Math.max(steep[o.column], Math.abs(o.y + shift - item.y));
    const begin = [], end = [];
    let x = 14;
    columns.forEach((_, c) => {
      x += c ? 34 + Math.min(0.16 * steep[c], 110) : 0;
      begin.push(x); x += labels[c] + room[c]; end.push(x);
    });
    const low = Math.min(...items.map(i => i.y - i.h / 2)) - 14;
    size = [x + 14, Math.max(...items.map(i => i.y + i.h / 2)) - low + 14];
    boxes.forEach((b, k) => { b.x = end[b.column] - room[b.column] / 2; b.y = items[k].y - low; });
    for (const e of edges) {
      const b = e.from, c1 = e.to.column, y1 = e.to.y + e.to.shift[e.port];
      let d = `M${b.x + b.w / 2} ${b.y}L${end[b.column]} ${b.y}`, px = end[b.column], py = b.y;
      const curve = (nx, ny) => { d += `C${(px + nx) / 2} ${py} ${(px + nx) / 2} ${ny} ${nx} ${ny}`; };
      for (const s of slots.get(b).slice(0, Math.max(c1 - b.column - 1, 0))) {
        curve(begin[s.column], s.y - low);
        px = end[s.column]; py = s.y - low; d += `L${px} ${py}`;
      }
      curve(begin[c1], y1);
      e.tip = [e.to.x - e.to.w / 2, y1];
      e.d = d + `L${e.tip[0]} ${y1}`;
    }
  }

  function arrange(focusGroup, keep) {
    const before = active;
    collect(); layout();
    svg.replaceChildren();
    const under = draw("g", { "aria-hidden": "true" }, svg);
    const flows = edges.map(e => e.all.reduce((sum, [i, k]) => sum + Math.abs(end.grad[i] * N[i].locals[k]), 0));
    const biggest = Math.max(...flows.filter(Number.isFinite), 0);
    edges.forEach((e, k) => {
      const weight = e.live && biggest && Number.isFinite(flows[k]) ? 0.9 + 2.6 * Math.sqrt(flows[k] / biggest) : 1;
      const dense = e.to.fold >= 0 && e.to.ins.length > 4;
      e.line = draw("path", { class: "mg-edge" + (e.live && flows[k] === 0 ? " mg-zero" : ""), d: e.d, "stroke-width": (dense ? 0.6 : 1) * weight }, under);
      e.head = dense ? null : draw("path", { class: "mg-edge mg-head", d: `M${e.tip[0] - 7} ${e.tip[1] - 3.5}L${e.tip[0] - 1} ${e.tip[1]}L${e.tip[0] - 7} ${e.tip[1] + 3.5}` }, under);
      if (e.text) draw("text", { class: "mg-local", x: e.tip[0] - 9, y: e.tip[1] - 3, "text-anchor": "end" }, under).textContent = e.text;
    });
    for (const b of boxes) drawBox(b);
    active = focusGroup === undefined ? before && boxes.find(b => b.node === before.node && b.fold === before.fold)
      : boxes.find(b => b.fold === focusGroup) || boxes.find(b => { for (let k = b.node >= 0 ? N[b.node].group : groups[b.fold].parent; k >= 0; k = groups[k].parent) if (k === focusGroup) return true; return false; });
    active = active || boxes[boxes.length - 1];
    active.g.setAttribute("tabindex", "0");
    fit();
    paint();
    if (focusGroup !== undefined) { active.g.focus({ preventScroll: true }); inform(active); }
  }

  function drawBox(b) {
    const left = b.x - b.w / 2, top = b.y - b.h / 2;
    b.g = draw("g", { class: `mg-box mg-${b.kind}`, tabindex: "-1", role: b.fold >= 0 ? "button" : "img" }, svg);
    if (b.fold >= 0) { b.g.setAttribute("aria-expanded", "false"); b.g.dataset.fold = plain(b.text); }
    else b.g.dataset.node = b.node;
    const rect = (d, extra = {}) => draw("rect", { class: "mg-out", x: left + d, y: top + d, width: b.w - Math.abs(d), height: b.h - Math.abs(d),
      rx: { leaf: 0, constant: 10, input: 16 }[b.kind] ?? 5, ...extra }, b.g);
    if (b.fold >= 0) rect(4);
    if (b.members[b.members.length - 1] === last) rect(-3, { width: b.w + 6, height: b.h + 6 });
    if (b.kind === "parameter") draw("path", { class: "mg-out", d: `M${left + b.w} ${top}H${left + 8}L${left} ${top + 8}V${top + b.h - 8}L${left + 8} ${top + b.h}H${left + b.w}Z` }, b.g);
    else rect(0, b.fold >= 0 ? { width: b.w - 4, height: b.h - 4 } : {});
    if (b.kind === "leaf") rect(0, { width: 5, style: "fill: var(--leaf)" });
    const write = (text, x, y, style, anchor) => {
      const t = draw("text", { class: style, x, y, "text-anchor": anchor }, b.g);
      if (typeof text === "string") t.textContent = text;
      else {
        let level = 0;
        for (const [piece, to] of text) {
          const span = draw("tspan", { dy: [5, 0, -5][level + 1] * -1 + [4, 0, -5][to + 1] + (level < 0 ? 1 : 0), ...(to ? { style: "font-size: 9px" } : {}) }, t);
          span.textContent = piece;
          level = to;
        }
      }
      return t;
    };
    const edge = left + (b.kind === "leaf" || b.kind === "parameter" || b.kind === "input" ? 14 : 10), right = left + b.w - (b.fold >= 0 ? 14 : 10);
    if (b.bare) write(short(N[b.node].data), b.x, b.y + 4, "mg-value", "middle");
    else {
      write(b.text, edge, b.y - 5, "mg-label", "start");
      write(b.tag, right, b.y - 5, "mg-tag", "end");
      if (b.fold < 0) write(short(N[b.node].data), edge, b.y + 14, "mg-value", "start");
      b.grad = write("", right, b.y + 14, "mg-grad", "end");
    }
  }

  function paint() {
    const now = step ? steps[step - 1] : last, got = new Set(step ? N[now].parents.filter(p => N[p].counts) : []);
    for (const b of boxes) {
      let said;
      const names = b.g.classList, i = b.node;
      names.toggle("mg-now", b.members.includes(now));
      names.toggle("mg-got", !b.members.includes(now) && b.members.some(m => got.has(m)));
      if (b.fold >= 0) {
        const counted = b.members.filter(m => N[m].counts), ready = counted.filter(final).length;
        b.grad.textContent = counted.length ? `${ready} of ${counted.length} final` + (ready === counted.length ? " ✓" : "") : "constants";
        names.toggle("mg-final", counted.length > 0 && ready === counted.length);
        said = `${plain(b.text)}, folded, ${b.members.length} values, ${ready} of ${counted.length} gradients final`;
      } else if (!N[i].counts) said = `${name(i)}, ${N[i].kind}, value ${short(N[i].data)}`;
      else {
        names.toggle("mg-final", final(i));
        b.grad.textContent = final(i) ? `∂ ${short(grad[i])} ✓` : arrived[i] ? `∂ ${short(grad[i])} (${arrived[i]}/${total[i]})` : `0/${total[i]}`;
        b.g.dataset.grad = String(grad[i]);
        said = `${name(i)}, ${N[i].op || N[i].kind}, value ${short(N[i].data)}, gradient ${short(grad[i])}, ${share(i)}`;
      }
      b.g.setAttribute("aria-label", said);
    }
    for (const e of edges) {
      const flows = step > 0 && e.live && e.all.some(([i]) => i === now), sent = e.live && e.all.every(([i]) => done[i]);
      for (const part of [e.line, e.head]) if (part) { part.classList.toggle("mg-flows", flows); part.classList.toggle("mg-sent", sent && !flows); }
    }
    slider.value = step;
    count.value = `step ${step} of ${steps.length}`;
    slider.setAttribute("aria-valuetext", step ? `step ${step} of ${steps.length}: ${name(now)}` : "start");
    tell();
    reveal(boxes.find(b => b.members.includes(now)));
  }

  function go(to) {
    to = Math.max(0, Math.min(steps.length, to));
    if (to === step) return;
    step = to;
    pass(); paint();
    root.dataset.step = step;
  }
  let timer = 0;
  function run() {
    if (step === steps.length) go(0);
    told.setAttribute("aria-live", "off");
    play.textContent = "❚❚ pause";
    timer = setInterval(() => { go(step + 1); if (step === steps.length) stop(); }, 800);
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    told.setAttribute("aria-live", "polite");
    play.textContent = "▶ play";
  }

  // -- folding, moving, zooming

  function toggle(b) {
    if (b.fold >= 0) { groups[b.fold].open = true; arrange(b.fold); }
  }
  function unfoldLevel() {
    const closed = [...new Set(boxes.filter(b => b.fold >= 0).map(b => b.fold))];
    const more = closed.reduce((sum, k) => sum + groups[k].parts - 1, boxes.length);
    if (more > 2000) { told.replaceChildren(line(`That would be ${more} boxes, too many to read: unfold one at a time.`)); return; }
    for (const k of closed) groups[k].open = true;
    arrange();
  }
  let box = { x: 0, y: 0, w: 1, h: 1 }, fitted = 1;
  const show = () => svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
  function fit() {
    const width = view.clientWidth || 800, scale = Math.min(width / size[0], 1.25);
    const height = Math.max(150, Math.min(scale * size[1], 560));
    svg.style.height = height + "px";
    fitted = Math.max(size[0] / width, size[1] / height, 0.8);
    box = { w: width * fitted, h: height * fitted };
    box.x = (size[0] - box.w) / 2; box.y = (size[1] - box.h) / 2;
    show();
  }
  function zoom(by, x = box.x + box.w / 2, y = box.y + box.h / 2) {
    const scale = box.w * by / (view.clientWidth || 800);
    if (scale > 2 * fitted && by > 1 || scale < 0.2 && by < 1) return;
    box = { x: x - (x - box.x) * by, y: y - (y - box.y) * by, w: box.w * by, h: box.h * by };
    show();
  }
  function reveal(b) {  // move the view, where it is zoomed in, so that this box is in it
    if (!b) return;
    const inside = (at, half, from, length) => at - half < from ? at - half - 20 : at + half > from + length ? at + half + 20 - length : from;
    if (b.w < box.w) box.x = inside(b.x, b.w / 2, box.x, box.w);
    if (b.h < box.h) box.y = inside(b.y, b.h / 2, box.y, box.h);
    show();
  }
  const boxAt = target => { const e = target.closest && target.closest(".mg-box"); return e && boxes.find(b => b.g === e); };
  function choose(b) {
    if (active && active.g) active.g.setAttribute("tabindex", "-1");
    active = b;
    b.g.setAttribute("tabindex", "0");
    inform(b);
  }
  svg.addEventListener("wheel", event => {  // plain scrolling stays the page's; with Ctrl, or pinching, it zooms
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const r = svg.getBoundingClientRect();
    zoom(Math.exp(Math.max(-0.3, Math.min(0.3, event.deltaY / 300))), box.x + (event.clientX - r.left) / r.width * box.w, box.y + (event.clientY - r.top) / r.height * box.h);
  }, { passive: false });
  let drag = null;
  svg.addEventListener("pointerdown", event => { if (event.button === 0) drag = { x: event.clientX, y: event.clientY, from: { ...box }, moved: false }; });
  svg.addEventListener("pointermove", event => {
    if (!drag) return;
    const scale = box.w / svg.clientWidth, dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 5) return;
    if (!drag.moved) { drag.moved = true; svg.setPointerCapture(event.pointerId); }
    box.x = drag.from.x - dx * scale; box.y = drag.from.y - dy * scale;
    show();
  });
  const drop = () => { drag = drag && drag.moved ? { over: true } : null; };
  svg.addEventListener("pointerup", drop);
  svg.addEventListener("pointercancel", () => { drag = null; });
  svg.addEventListener("click", event => {
    const dragged = drag && drag.over;
    drag = null;
    const b = boxAt(event.target);
    if (!dragged && b) { choose(b); toggle(b); }
  });
  svg.addEventListener("pointerover", event => { const b = boxAt(event.target); if (b && !(drag && drag.moved)) inform(b); });
  svg.addEventListener("focusin", event => { const b = boxAt(event.target); if (b) { choose(b); reveal(b); } });
  slider.addEventListener("input", () => go(Number(slider.value)));
  root.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === slider) return;
    const b = boxAt(event.target), k = b ? boxes.indexOf(b) : -1;
    const inner = b && (b.node >= 0 ? N[b.node].group : groups[b.fold].parent);
    const act = { ArrowRight: () => go(step + 1), ArrowLeft: () => go(step - 1), Home: () => go(0), End: () => go(steps.length),
      "+": () => zoom(0.8), "-": () => zoom(1.25), 0: () => fit(),
      ...(b && { ArrowDown: () => boxes[Math.min(k + 1, boxes.length - 1)].g.focus({ preventScroll: true }),
        ArrowUp: () => boxes[Math.max(k - 1, 0)].g.focus({ preventScroll: true }),
        Enter: () => toggle(b), " ": () => toggle(b), f: () => { if (inner >= 0) { groups[inner].open = false; arrange(inner); } } }) }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  // -- light or dark, as what is behind the page is

  function theme() {
    let e = root.parentElement, colour = null;
    for (; e; e = e.parentElement) {
      const [r, g_, b, a = 1] = (getComputedStyle(e).backgroundColor.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
      if (a > 0.5) { colour = 0.3 * r + 0.59 * g_ + 0.11 * b; break; }
    }
    root.classList.toggle("mg-dark", colour === null ? matchMedia("(prefers-color-scheme: dark)").matches : colour < 128);
  }
  theme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
  new MutationObserver(theme).observe(document.body, { attributes: true });
  new MutationObserver(theme).observe(document.documentElement, { attributes: true });
  new ResizeObserver(() => { if (view.clientWidth && view.clientWidth !== width) { width = view.clientWidth; fit(); } }).observe(view);
  let width = 0;
  step = steps.length; pass();
  const end = { grad };
  step = 0; pass();
  root.dataset.step = 0;
  arrange();
  inform(null);
}
})();
