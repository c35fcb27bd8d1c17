// The page of the game: shows what the socket says, and sends the number of a cell for each click.
"use strict";

const CELLS = 96;
const SESSION_ENDED = 4401;
const LONGEST_PAUSE = 10_000;

const byId = (id) => document.getElementById(id);
const board = byId("board");
const cells = Array.from({ length: CELLS }, (_, number) => {
  const cell = document.createElement("button");
  cell.className = "cell";
  cell.ariaLabel = `cell ${number + 1}`;
  cell.dataset.cell = number;
  return cell;
});
board.append(...cells);

let socket;
let failures = 0;

board.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (cell && socket?.readyState === WebSocket.OPEN) socket.send(cell.dataset.cell);
});

function connect() {
  socket = new WebSocket(location.origin.replace("http", "ws") + "/play");
  socket.addEventListener("open", () => {
    failures = 0;
    say("playing");
  });
  socket.addEventListener("message", (event) => show(JSON.parse(event.data)));
  socket.addEventListener("close", (event) => {
    if (event.code === SESSION_ENDED) return location.reload();
    // A process that ends sends all of its players away at once: they must not come back at once.
    failures += 1;
    const pause = Math.min(LONGEST_PAUSE, 250 * 2 ** failures) * (0.5 + Math.random() / 2);
    say("looking for a table");
    setTimeout(connectOrSignIn, pause);
  });
}

// A refused upgrade looks like a lost network to a page: ask whether the session is still there.
async function connectOrSignIn() {
  if (failures > 2) {
    const page = await fetch("/").then((response) => response.text(), () => "");
    if (page.includes('id="join"')) return location.reload();
  }
  connect();
}

function show(news) {
  if (news.you) {
    byId("name").textContent = news.you.name;
    count("coins", news.you.coins);
    count("tries", news.you.tries);
  }
  if (news.board) {
    const coins = new Set(news.board);
    cells.forEach((cell, number) => cell.classList.toggle("coin", coins.has(number)));
  }
  if (news.players) {
    byId("online").textContent = news.players.length;
    byId("players").replaceChildren(...news.players.map(line));
  }
}

// Another tab may be ahead: counters only go up.
function count(id, number) {
  const known = Number(byId(id).textContent);
  byId(id).textContent = Math.max(known, number);
}

function line(player) {
  const item = document.createElement("li");
  const [name, coins] = [document.createElement("span"), document.createElement("b")];
  name.textContent = player.name;
  coins.textContent = player.coins;
  item.append(name, coins);
  item.classList.toggle("me", player.name === byId("name").textContent);
  return item;
}

function say(state) {
  byId("state").textContent = state;
  document.body.classList.toggle("away", state !== "playing");
}

connect();
